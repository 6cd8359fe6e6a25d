"""A stage that a module brings along is one of every trial's: the module is the one that the documents print."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
import torch

from engine.errors import InputError
from engine.explanation import explain, settings_page
from engine.orchestration.search.horizon import Horizon
from engine.settings import TrainingSettings, TrialConfig
from engine.spaces import Arm, Choice, Float, Int, Space
from engine.stages import plan_trial, register_stage
from engine.stages.network import restore_network
from engine.stages.registration import STAGES, stages_in_order
from engine.stages.steps import step_bases
from tests.registered import imported, taken_back, write_printed

PRUNED = {"finetune.which": "most", "prune.fraction": 0.3}
OWN = ["pretrain", "init", "rank", "finetune", "evaluate"]


@pytest.fixture
def pruning(tmp_path):
    """Import the module of the documents."""
    write_printed(tmp_path)
    with imported(tmp_path, "pruning"):
        yield tmp_path / "pruning.py"


@pytest.fixture
def registry():
    with taken_back():
        yield


def plan(info, **settings):
    settings = {name.replace("__", "."): value for name, value in settings.items()}
    return plan_trial(TrialConfig().with_settings({**PRUNED, **settings}), info)


def names_of(stages) -> list[str]:
    return [spec.stage for spec in stages]


def test_a_stage_stands_where_it_says_and_only_in_trials_that_want_it(info, pruning):
    assert names_of(plan(info)) == ["pretrain", "rank", "finetune", "prune", "evaluate"]
    assert names_of(plan(info, finetune__which="none")) == ["pretrain", "prune", "evaluate"]
    assert names_of(plan(info, model__weights="ab" * 16))[:2] == ["init", "rank"]
    assert "prune" not in names_of(plan(info, prune__fraction=0.0))


def test_without_it_a_trial_has_the_keys_that_it_had_before_the_module_came(info, tmp_path):
    before = [spec.key for spec in plan_trial(TrialConfig(), info)]
    write_printed(tmp_path)
    with imported(tmp_path, "pruning"):
        assert [spec.key for spec in plan_trial(TrialConfig(), info)] == before


def test_its_settings_and_its_source_are_in_its_key_and_in_those_of_what_follows(info, pruning):
    before = {spec.stage: spec.key for spec in plan(info)}

    def changed(**settings) -> list[str]:
        return [spec.stage for spec in plan(info, **settings) if spec.key != before[spec.stage]]

    assert changed() == []
    assert changed(prune__fraction=0.4) == ["prune", "evaluate"]
    assert changed(prune__training__epochs=3) == ["prune", "evaluate"]
    assert changed(prune__training__momentum=0.5) == []  # without SGD
    assert changed(seed=1)[-2:] == ["prune", "evaluate"]
    text = pruning.read_text()
    pruning.write_text(text.replace("bound = sizes[int(", "bound = sizes[round("))
    assert pruning.read_text() != text
    with imported(pruning.parent, "pruning"):
        edited = {spec.stage: spec.key for spec in plan(info)}
    assert [stage for stage, key in edited.items() if key != before[stage]] == ["prune", "evaluate"]


def test_its_network_is_what_is_evaluated(workshop, pruning):
    trial = workshop.plan(prune__fraction=0.6)
    made = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(trial)}
    evaluate = trial.stages[-1]
    assert evaluate.inputs == {name: trial.key(name) for name in ("pretrain", "finetune", "prune")}
    before = restore_network([made["pretrain"], made["finetune"]], torch.device("cpu"))
    after = restore_network([made[name] for name in ("pretrain", "finetune", "prune")], torch.device("cpu"))
    kernels = [weight for weight in before.parameters() if weight.ndim == 4]
    pruned = [weight for weight in after.parameters() if weight.ndim == 4]
    sizes = torch.cat([weight.detach().abs().flatten() for weight in kernels])
    zeros = torch.cat([weight.flatten() for weight in pruned]) == 0
    assert int(zeros.sum()) == int(0.6 * len(sizes))
    assert float(sizes[zeros].max()) <= float(sizes[~zeros].min())
    assert made["prune"].json("metrics") == {"zero_weights": int(zeros.sum()) / len(sizes)}
    assert [record["epoch"] for record in made["prune"].history] == [1, 2]
    assert all(0 <= record["probe_error"] <= 1 for record in made["prune"].history)


def test_its_settings_are_settings(pruning):
    config = TrialConfig().with_settings({"prune.fraction": 0.3, "prune.training.epochs": 3})
    assert config.section("prune").fraction == 0.3
    assert TrialConfig.from_flat(json.loads(json.dumps(config.flat()))) == config
    assert hash(TrialConfig.from_flat(config.flat())) == hash(config)
    assert config.digest != TrialConfig().digest
    assert config.with_settings({"prune.fraction": 0.0, "prune.training.epochs": 2}) == TrialConfig()
    with pytest.raises(InputError, match=r"unknown setting 'prune.fractoin' \(did you mean 'prune.fraction'\?\)"):
        config.with_settings({"prune.fractoin": 0.1})
    with pytest.raises(InputError, match=r"`prune.fraction` must be in \[0, 1\), got 1.0"):
        config.with_settings({"prune.fraction": 1.0})
    with pytest.raises(InputError, match=r"`prune.fraction` must be a number in \[0, 1\), got 'much'"):
        config.with_settings({"prune.fraction": "much"})
    (about,) = explain(["prune.fraction"])
    assert (about.allowed, about.default) == ("number in [0, 1)", "0")
    assert "prune." not in settings_page(), "the page of the documents is of the engine's own"


BASE = TrialConfig().with_settings({"finetune.which": "all"})


def make_space(*axes, base=BASE, **others) -> Space:
    return Space(name="test", base=base, axes=axes, **others)


def test_an_axis_on_them_must_be_able_to_change_something(pruning):
    make_space(Float("prune.fraction", 0.0, 0.9), Int("prune.training.epochs", 1, 4))
    with pytest.raises(InputError, match=r"matters only where `prune\.fraction` is not 0, got prune\.fraction=0\.0"):
        make_space(Int("prune.training.epochs", 1, 4))
    with pytest.raises(InputError, match=r"where `prune\.training\.optimizer` is sgd"):
        make_space(Float("prune.fraction", 0.1, 0.9), Float("prune.training.momentum", 0.1, 0.9))
    with pytest.raises(InputError, match=r"`prune.fraction` must be in \[0, 1\), got 1.5"):
        make_space(Float("prune.fraction", 0.1, 1.5))


def test_its_epochs_are_steps_after_those_of_the_stages_before_it(pruning):
    space = make_space(Float("prune.fraction", 0.1, 0.9), Choice("prune.training.epochs", (2, 5)))
    assert step_bases(space) == {"pretrain": 0, "finetune": 8, "prune": 14}
    assert Horizon.of(space) == Horizon(8, 11)
    assert Horizon.of(make_space(Choice("push_pull.where", ("none", "all")))) == Horizon(8, 6), "nothing is pruned"


def test_a_study_s_record_is_read_without_the_module(tmp_path):
    write_printed(tmp_path)
    with imported(tmp_path, "pruning"):
        base = BASE.with_settings({"prune.training.milestones": [0.5]})
        arms = (Arm("half", {"prune.fraction": 0.5}),)
        space = make_space(Float("prune.fraction", 0.1, 0.9), base=base, arms=arms)
        record, digest = json.loads(json.dumps(space.to_json())), space.digest
    with pytest.raises(InputError, match="unknown setting 'prune"):
        Space.from_json(record)
    again = Space.from_json(record, of_record=True)
    assert again.digest == digest
    assert again.base.flat()["prune.training.milestones"] == [0.5]
    assert hash(again.base) == hash(replace(again.base))
    assert again.config({"prune.fraction": 0.25}, seed=3).flat()["prune.fraction"] == 0.25
    assert "prune.fraction" not in TrialConfig().flat()


def test_stages_are_in_the_order_that_they_say_whenever_they_came(registry):
    register_stage("last", version=1, follows=("evaluate",))(lambda context: None)
    register_stage("second", version=1, follows=("first",), precedes=("rank",))(lambda context: None)
    register_stage("first", version=1, follows=("pretrain", "init"), precedes=("finetune",))(lambda context: None)
    assert [stage.name for stage in stages_in_order()] == [
        "pretrain",
        "init",
        "first",
        "second",
        "rank",
        "finetune",
        "evaluate",
        "last",
    ]


def test_the_order_does_not_depend_on_which_module_was_imported_first(registry):
    for name in ("b", "a"):
        register_stage(name, version=1, follows=("pretrain",), precedes=("rank",))(lambda context: None)
    once = [stage.name for stage in stages_in_order()]
    entries = dict(reversed(STAGES._entries.items()))
    STAGES._entries.clear()
    STAGES._entries.update(entries)
    assert [stage.name for stage in stages_in_order()] == once == [*OWN[:2], "a", "b", *OWN[2:]]


def test_a_stage_without_a_place_is_in_no_plan(info, registry):
    register_stage("alone", version=1)(lambda context: None)
    assert [stage.name for stage in stages_in_order()] == OWN
    assert names_of(plan_trial(TrialConfig(), info)) == ["pretrain", "evaluate"]


def test_a_stage_after_the_evaluation_leaves_the_judgement_there(info, registry):
    register_stage("after", version=1, follows=("evaluate",), reads=("evaluate",))(lambda context: None)
    trial = plan_trial(TrialConfig(), info)
    assert names_of(trial) == ["pretrain", "evaluate", "after"]
    assert trial.stages[-1].inputs == {"evaluate": trial.key("evaluate")}
    assert trial.judged.stage == "evaluate"
    assert trial.identity == trial.key("after")


def test_what_two_stages_make_side_by_side_is_told_apart_by_both(info, registry):
    before = plan_trial(TrialConfig(), info)
    register_stage("beside", version=1, follows=("pretrain",))(lambda context: None)
    beside = plan_trial(TrialConfig(), info)
    assert before.identity == before.key("evaluate") == beside.key("evaluate")
    assert beside.identity == f"{beside.key('evaluate')} {beside.key('beside')}"


@dataclass(frozen=True)
class Plain:
    """Settings of a test.

    Attributes:
        number: any.
    """

    number: int = 1


@dataclass
class Thawed:
    number: int = 1


@dataclass(frozen=True)
class Lacking:
    number: int


@dataclass(frozen=True)
class Strange:
    numbers: dict[str, int] | None = None


@dataclass(frozen=True)
class Mistyped:
    number: int = "one"  # type: ignore[assignment]


@dataclass(frozen=True)
class Everything:
    """Settings of a test.

    Attributes:
        switch: on or off.
        word: any.
        words: any.
        choice: one of two.
        training: one.
        limit: a number, > 0; None for none.
    """

    switch: bool = False
    word: str = "a"
    words: tuple[str, ...] = ("a", "b")
    choice: Literal["left", "right"] = "left"
    training: TrainingSettings = field(default_factory=TrainingSettings)
    limit: float | None = None


def test_settings_of_every_type_that_the_engine_s_have_go_round(registry):
    register_stage("mine", version=1, settings=Everything)(lambda context: None)
    changed = {
        "mine.switch": True,
        "mine.word": "b",
        "mine.words": ["c"],
        "mine.choice": "right",
        "mine.training.milestones": [0.25],
        "mine.limit": 2.5,
    }
    config = TrialConfig().with_settings({**changed, "mine.words": "c"})
    assert {path: config.flat()[path] for path in changed} == changed
    assert TrialConfig.from_flat(json.loads(json.dumps(config.flat()))) == config
    assert config.section("mine").training.milestones == (0.25,)
    with pytest.raises(InputError, match=r"`mine\.choice` must be one of left, right, got 'up'"):
        config.with_settings({"mine.choice": "up"})


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        ({"follows": ("finetun",)}, r"of stage 'mine': unknown stage 'finetun' \(did you mean 'finetune'\?\)"),
        ({"follows": ("evaluate",), "precedes": ("rank",)}, "follow each other in a circle: .*mine"),
        ({"precedes": ("pretrain",)}, "'mine' reads a network, but comes before all stages that give one"),
        ({"follows": "finetune"}, "`follows` of stage 'mine' must be names in a tuple, got 'finetune'"),
        ({"settings": Thawed}, "section 'mine' of the settings must be a frozen dataclass"),
        ({"settings": Strange}, "setting 'mine.numbers' must be a bool, int, .*, got the type"),
        ({"settings": Mistyped}, "`mine.number` must be a whole number.*, got 'one'"),
        ({"settings": Lacking}, "section 'mine' of the settings: TypeError: .*number"),
        ({"settings": Plain, "epochs": "mine.epochs"}, "`epochs` of stage 'mine': unknown setting 'mine.epochs'"),
        (
            {"settings": Plain, "matters_if": {"nmber": ()}},
            r"`matters_if` of stage 'mine': unknown setting 'nmber' \(did you mean",
        ),
        ({"name": "distortion", "settings": Plain}, "section of the settings cannot be called 'distortion'"),
        ({"name": "data"}, "a stage cannot be called 'data': the engine has that name for something else"),
        ({"name": "network"}, "a stage cannot be called 'network'"),
        ({"name": "system"}, "a stage cannot be called 'system'"),
        ({"version": "one"}, "`version` of stage 'mine' must be a whole number ≥ 1, got 'one'"),
        ({"version": 0}, "`version` of stage 'mine' must be a whole number ≥ 1, got 0"),
        ({"version": True}, "`version` of stage 'mine' must be a whole number ≥ 1, got True"),
        ({"settings": Plain, "epochs": "mine.number"}, "setting that is never below 0, got 'mine.number'"),
        ({"settings": Everything, "epochs": "mine.limit"}, r"a setting of type int, got 'mine.limit' of type float"),
        ({"settings": Everything, "epochs": "mine.switch"}, "a setting of type int, got 'mine.switch' of type bool"),
        ({"name": "finetune"}, "stage 'finetune' is already registered by"),
    ],
)
def test_what_cannot_be_is_one_sentence(info, registry, about, sentence):
    about = {"name": "mine", "version": 1, **about}

    def register_and_plan() -> None:
        register_stage(**about)(lambda context: None)
        plan_trial(TrialConfig(), info)

    with pytest.raises(InputError, match=sentence):
        register_and_plan()


@dataclass(frozen=True)
class Picky:
    """Settings of a test.

    Attributes:
        number: one that the class likes.
    """

    number: int = 1

    def __post_init__(self):
        if self.number > 1:
            raise ValueError("two is too many")


def test_what_a_user_s_code_raises_is_one_sentence(info, registry):
    place = {"version": 1, "precedes": ("evaluate",), "follows": ("finetune",)}
    register_stage("picky", settings=Picky, **place)(lambda context: None)
    with pytest.raises(InputError, match="the settings of 'picky' cannot be: two is too many"):
        TrialConfig().with_settings({"picky.number": 2})
    register_stage("broken", depends_on=lambda planning: {"x": planning.nothing}, **place)(lambda context: None)
    with pytest.raises(InputError, match=r"stage 'broken' cannot be planned: AttributeError: .*nothing"):
        plan_trial(TrialConfig(), info)
    with taken_back():
        register_stage("odd", depends_on=lambda planning: {"x": object()}, precedes=("broken",), version=1, reads=())(
            lambda context: None
        )
        with pytest.raises(InputError, match="stage 'odd' cannot be planned: TypeError"):
            plan_trial(TrialConfig(), info)


def test_its_check_refuses_what_cannot_be_with_the_network(info, pruning):
    assert "prune" in names_of(plan(info, prune__fraction=0.99))
    with pytest.raises(InputError, match=r"`prune\.fraction` of 0\.99999 leaves \d weights to \d convolutions"):
        plan(info, prune__fraction=0.99999)


def test_each_planned_stage_is_checked_once_before_its_key_is_made(info, registry):
    told = []
    for name in ("first", "second", "unwanted"):
        register_stage(
            name,
            version=1,
            follows=("pretrain",),
            wanted=lambda planning, name=name: name != "unwanted",
            check=lambda planning, name=name: told.append(("check", name, "first" in planning.stages)),
            depends_on=lambda planning, name=name: told.append(("key", name, "first" in planning.stages)) or {},
        )(lambda context: None)
    checked = plan_trial(TrialConfig(), info)
    assert told == [
        ("check", "first", False),
        ("key", "first", False),
        ("check", "second", True),
        ("key", "second", True),
    ]
    told.clear()
    assert plan_trial(TrialConfig(), info, check=False) == checked
    assert [what for what, *_ in told] == ["key", "key"]


def test_a_check_that_fails_is_one_sentence(info, registry):
    def broken(planning):
        raise ValueError("no good")

    register_stage("broken", version=1, follows=("pretrain",), check=broken)(lambda context: None)
    with pytest.raises(InputError, match="stage 'broken' cannot be planned: ValueError: no good"):
        plan_trial(TrialConfig(), info)


def test_a_module_that_is_loaded_again_replaces_its_stage(pruning):
    first = STAGES["prune"]
    register_stage("prune", version=2, precedes=("evaluate",))(first.run)
    assert STAGES["prune"].version == 2


def test_the_module_s_path_is_no_part_of_a_key(info, tmp_path):
    keys = set()
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        write_printed(folder)
        with imported(folder, "pruning"):
            keys.add(plan(info).key("prune"))
    assert len(keys) == 1
