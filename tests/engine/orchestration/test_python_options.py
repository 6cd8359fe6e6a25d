"""Options as they are given from Python: the names, the types, and the page that tells them beside the flags.

``python -m tests.engine.orchestration.test_python_options`` writes that page.
"""

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.data import CorruptionFiles, Split
from engine.errors import InputError
from engine.metrics import load_baseline
from engine.models import build_model
from engine.orchestration import export, load_results, run_sweep
from engine.orchestration.options import COMMAND_ONLY, FLAGS, SweepOptions
from engine.orchestration.preparation import base_settings, prepare
from engine.spaces import load_space
from engine.stages import prepare_weights
from engine.store import Store
from engine.store.places import folder_of
from engine.variables import default_of, with_variable
from tests.engine.orchestration.spaces import SPACE

PAGE = Path(__file__).parents[3] / "docs" / "options.md"
HEAD = """# Options

<!-- Written by `python -m tests.engine.orchestration.test_python_options` from engine/orchestration/options.py -->

What `python -m pipelines.sweep` takes on the command line, `run_sweep(space, **options)` takes in Python, where paths
may be strings, and settings a dictionary:

```sh
python -m pipelines.sweep --space push-pull --home runs --set pretrain.epochs=20 finetune.which=most --n-trials 40
```

```python
from engine.orchestration import run_sweep

run_sweep("push-pull", home="runs", settings={"pretrain.epochs": 20, "finetune.which": "most"}, n_trials=40)
```

Where a variable stands for an option, it counts if the option is not given, for every command that has it and from
Python too; the sweep's first lines say so.

| command line | Python | default | what it is |
|---|---|---|---|
"""


def texts() -> dict[str, str]:
    """Return {option: what is written below it in the class}."""
    (tree,) = ast.parse(inspect.getsource(SweepOptions)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for item, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            assert isinstance(text, ast.Expr), f"say what {item.target.id} is"
            assert isinstance(text.value, ast.Constant)
            found[item.target.id] = " ".join(str(text.value.value).split())
    return found


def options_page() -> str:
    flags = {name: flag for flag, name in FLAGS.items()}
    said, lines = texts(), []
    for item in dataclasses.fields(SweepOptions):
        default = default_of(item) if default_of(item) is not dataclasses.MISSING else ()
        value = default.as_posix() if isinstance(default, Path) else default
        shown = "" if value in (None, ()) else f"`{value!r}`"
        flag = flags.get(item.name, item.name).replace("_", "-")
        name = "–" if item.name in COMMAND_ONLY else f"`{item.name}`"
        lines.append(
            f"| `--{flag}` | {name} | {shown} | {with_variable(item, said[item.name]).replace('|', chr(92) + '|')} |"
        )
    return HEAD + "\n".join(lines) + "\n"


def test_the_page_of_the_options_is_up_to_date():
    assert PAGE.read_text() == options_page(), "run `python -m tests.engine.orchestration.test_python_options`"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trails": 3}, r"unknown option 'n_trails' \(did you mean 'n_trials'\?\); known: .*settings"),
        ({"set": ["pretrain.epochs=2"]}, "option 'set' of the command line is 'settings' in Python"),
        ({"import": "mine"}, "option 'import' of the command line is 'imports' in Python"),
        ({"n_trials": "28"}, "`n_trials` must be of type int, got '28'"),
        ({"home": 3}, "`home` must be of type Path, got 3"),
        ({"dry_run": True}, "option 'dry_run' is for the command line alone: in Python a sweep is run"),
        ({"download": "yes"}, "`download` must be of type bool, got 'yes'"),
        ({"slots": 1.5}, "`slots` must be of type int, got 1.5"),
        ({"settings": {"pretrain.epochs": {1, 2}}}, "`settings` has a value that is no setting's: .*set"),
        ({"settings": {"pretrain.epoch": 2}}, r"unknown setting 'pretrain.epoch' \(did you mean 'pretrain.epochs'\?\)"),
        ({"settings": "pretrain.epochs"}, "a setting is given as PATH=VALUE, got 'pretrain.epochs'"),
        ({"n_trials": 0}, "--n-trials must be ≥ 1, got 0"),
    ],
)
def test_what_python_gets_wrong_is_one_sentence(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run_sweep("push-pull", **{"home": tmp_path, **options})


def test_misspelt_arguments_of_all_calls_are_told_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"load_results: unknown option 'stduy' \(did you mean 'study'\?\)"):
        load_results(stduy="s")
    with pytest.raises(InputError, match=r"export: unknown option 'hmoe' \(did you mean 'home'\?\)"):
        export("s", tmp_path / "out", hmoe=tmp_path)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'folder'"):
        export("s")


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrain.epochs": 3, "evaluate.corruptions": ["contrast", "shot_noise"], "push_pull.where": "first"},
        ("pretrain.epochs=3", "evaluate.corruptions=contrast,shot_noise", "push_pull.where=first"),
        ["pretrain.epochs=3", 'evaluate.corruptions=["contrast", "shot_noise"]', "push_pull.where=first"],
    ],
)
def test_settings_are_given_as_a_dictionary_or_as_on_the_command_line(settings):
    base = SPACE.with_base(base_settings(SweepOptions(settings=settings))).base
    assert (base.pretrain.epochs, base.push_pull.where) == (3, "first")
    assert base.evaluate.corruptions == ("contrast", "shot_noise")


def test_one_word_is_a_list_of_one():
    options = SweepOptions(settings="evaluate.corruptions=contrast,shot_noise", imports="mine", objectives="corrupted")
    assert options.settings == ("evaluate.corruptions=contrast,shot_noise",)
    assert (options.imports, options.objectives) == (("mine",), ("corrupted",))


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_may_be_strings_everywhere(tmp_path, kind):
    home = kind(tmp_path / "home")
    weights = build_model("resnet-8", num_classes=10, in_channels=1, image_size=16, width=2).state_dict()
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "mine.py").write_text(
        "from engine.spaces import Choice, Space\n"
        'SPACE = Space(name="mine", axes=(Choice("push_pull.where", ("none", "first")),))\n'
    )
    (tmp_path / "errors.csv").write_text("corruption,severity,error\n,0,0.1\ncontrast,1,0.2\n")
    sweep = prepare(
        SweepOptions.of(
            {
                "space": kind(tmp_path / "mine.py"),
                "home": home,
                "store": kind(tmp_path / "store"),
                "init": kind(tmp_path / "weights.safetensors"),
                "settings": {"model.width": 2, "evaluate.corruptions": "contrast", "evaluate.severities": 1},
                "baseline": kind(tmp_path / "errors.csv"),
            }
        )
    )
    assert sweep.space.name == "mine"
    assert sweep.options.home == Path(home)
    assert sweep.store.address == str(folder_of(tmp_path / "store"))
    assert load_space(kind(tmp_path / "mine.py")).name == "mine"
    assert load_baseline(kind(tmp_path / "errors.csv")).clean_error == 0.1
    key = prepare_weights(kind(tmp_path / "weights.safetensors"), Store(kind(tmp_path / "store"))).key
    assert key == sweep.space.base.model.weights
    with pytest.raises(InputError, match="does not exist"):
        CorruptionFiles(kind(tmp_path / "none"), Split(torch.zeros(1, 1, 4, 4), torch.zeros(1), torch.zeros(1)))
    with pytest.raises(InputError):
        load_results("none", home=home)


def test_a_space_file_that_fails_is_a_sentence_with_its_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("from engine.spaces import Space\n\nSPACE = Spce(name='x')\n")
    with pytest.raises(InputError, match=r"space file .*broken.py fails in line 3: NameError: name 'Spce'"):
        load_space(str(path))
    path.write_text("SPACE = (\n")
    with pytest.raises(InputError, match=r"space file .*broken.py fails: SyntaxError: '\(' was never closed"):
        load_space(path)


if __name__ == "__main__":
    PAGE.write_text(options_page())
    print(f"wrote {PAGE}")


def test_the_seed_of_trials_is_no_setting_of_a_sweep():
    with pytest.raises(InputError, match="a sweep derives the seeds of its trials"):
        base_settings(SweepOptions(settings={"seed": 3}))
