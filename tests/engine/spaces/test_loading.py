import dataclasses
import json

import pytest

from engine.errors import InputError
from engine.settings import DataSettings
from engine.spaces import draw_settings, load_space, register_spaces, space_names
from engine.stages import plan_trial, prepare_data
from engine.stages.idle_axes import check_arms_differ
from engine.store import Store

SPACE_FILE = """
from engine.spaces import Choice, Space
SPACE = Space(name="mine", axes=(Choice("push_pull.where", ("none", "first")),))
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return what planning needs to know of the digits."""
    return prepare_data(DataSettings(), Store(tmp_path_factory.mktemp("store")))[0]


def test_the_spaces_have_names():
    assert "push-pull" in space_names()


@pytest.mark.parametrize("name", space_names())
def test_every_space_of_the_project_loads_under_its_name(name):
    space = load_space(name)
    assert space.name == name
    assert space.description
    assert type(space).from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize("name", space_names())
def test_every_space_s_arms_extremes_and_draws_can_be_planned_on_digits(name, digits):
    space = load_space(name)
    if space.base.data.name != "digits":
        pytest.skip(f"{name} is for {space.base.data.name}")
    space = space.with_base({"model.width": 8})
    for arm in space.arms:
        assert plan_trial(space.config(arm.settings, seed=0), digits).key("evaluate")
    for axis in space.axes:
        for value in axis.extremes():
            settings = {path: values[0] for path, values in axis.when.items()} | {axis.setting: value}
            assert plan_trial(space.config(settings, seed=0), digits).key("evaluate"), settings
    for index in range(5):
        drawn = draw_settings(space, seed=0, index=index)
        assert plan_trial(space.config(drawn, seed=0), digits).key("evaluate"), drawn


@pytest.mark.parametrize("name", space_names())
def test_no_arm_of_the_project_s_spaces_comes_to_the_numbers_of_another(name, digits):
    space = load_space(name).with_base({"data.name": "digits", "evaluate.corruptions": "gaussian_noise"})
    info = dataclasses.replace(digits, n_train=50_000)
    check_arms_differ(space, space.arms, (0, 1), lambda config: plan_trial(config, info).identity)


def test_a_space_loads_from_a_python_and_from_a_json_file(tmp_path):
    (tmp_path / "mine.py").write_text(SPACE_FILE)
    space = load_space(str(tmp_path / "mine.py"))
    assert space.name == "mine"
    (tmp_path / "mine.json").write_text(json.dumps(space.to_json()))
    assert load_space(str(tmp_path / "mine.json")) == space


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return what makes an importable package of spaces, which is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("engine.spaces.loading._packages", ["search_spaces"])

    def make(name: str, *modules: str) -> str:
        (tmp_path / name).mkdir()
        for module in ("__init__", *modules):
            (tmp_path / name / f"{module}.py").write_text("" if module == "__init__" else SPACE_FILE)
        return name

    return make


def test_a_package_of_ones_own_is_looked_in_too(package):
    before = space_names()
    mine = package("spaces_of_mine", "two_words", "_parts")
    register_spaces(mine)
    register_spaces(mine)
    assert space_names() == tuple(sorted((*before, "two-words")))
    assert load_space("two-words").name == "mine"
    assert load_space("push-pull").name == "push-pull"


def test_a_name_that_is_taken_and_a_package_that_is_none_are_refused(package, tmp_path):
    with pytest.raises(InputError, match="'push-pull' of spaces_taken is in search_spaces already"):
        register_spaces(package("spaces_taken", "push_pull"))
    with pytest.raises(InputError, match="package of search spaces does not exist: 'no_such_spaces'"):
        register_spaces("no_such_spaces")
    (tmp_path / "one_module.py").write_text("")
    with pytest.raises(InputError, match="and 'one_module' is a module"):
        register_spaces("one_module")
    assert "push-pull" in space_names()


def test_an_unknown_space_suggests_the_nearest():
    with pytest.raises(InputError, match=r"unknown search space 'push-pul' \(did you mean 'push-pull'\?\)"):
        load_space("push-pul")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, "space file does not exist: .*missing.py"),
        ("empty.py", "", r"empty.py defines no SPACE"),
        ("other.py", "SPACE = {}", r"other.py must define SPACE = Space\(...\), got dict"),
        ("odd.txt", "x", "space file must end in .py or .json: .*odd.txt"),
        ("broken.json", "{", "broken.json is not a space: "),
        ("partial.json", '{"name": "x"}', "partial.json is not a space: "),
        ("list.json", "[1]", "list.json is not a space: "),
        (
            "axis.json",
            '{"name": "x", "description": "", "base": {}, "axes": [{"kind": "grid", "setting": "seed"}], "arms": []}',
            "axis.json is not a space: .*grid",
        ),
        (
            "range.json",
            '{"name": "x", "description": "", "base": {}, "arms": [], "n_seeds": 1, '
            '"axes": [{"kind": "int", "setting": "pretrain.epochs", "low": 3, "high": 1}]}',
            "range.json is not a space: .*needs low < high, got 3 and 1",
        ),
    ],
)
def test_bad_space_files_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_space(str(path))


@pytest.mark.parametrize("content", ["[]", "{}", '{"name": "x", "description": "", "axes": [], "base": []}', "\0", "["])
def test_a_json_file_that_is_no_space_is_one_sentence(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match="is not a space"):
        load_space(tmp_path / "x.json")
