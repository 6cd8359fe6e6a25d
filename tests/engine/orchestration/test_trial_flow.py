"""How trials begin and end between the study and the processes that run them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.orchestration.search import Proposal
from engine.orchestration.search.pruners import parse_pruner
from engine.orchestration.tracking import Spool, TrackingEvents
from engine.orchestration.tracking.tracker_kinds import is_group
from engine.orchestration.trial_flow import TrialFlow
from engine.report.live_screen import LiveScreen
from engine.report.reasons import Reason
from tests.engine.orchestration.spaces import SPACE
from tests.engine.orchestration.studies import make_sweep_study

N_TOGETHER = 3


class Scene:
    """A flow whose trials end when the test says so."""

    def __init__(self, tmp_path: Path, *, pruner: str = "none", n_slots: int = 1) -> None:
        options = SweepOptions(home=tmp_path / "home", n_trials=8, sampler="random", pruner=pruner)
        self.prepared = prepare(options, SPACE)
        self.study = make_sweep_study(
            self.prepared.planned,
            storage=options.storage_url,
            name="study",
            sampler="random",
            pruner=parse_pruner(pruner),
        )
        self.spool = Spool(tmp_path / "events.jsonl")
        self.released: list[str] = []
        self.prepared_at: list[int] = []
        self.begun = 0
        self.flow = TrialFlow(
            self.study,
            plan=self.prepared.plan,
            events=TrackingEvents(self.spool),
            screen=LiveScreen(Console(quiet=True), n_total=8),
            store=self.prepared.store,
            release=self.released.append,
            broker="broker",
            n_together=N_TOGETHER,
            n_slots=n_slots,
            prepare_end=lambda: self.prepared_at.append(self.study.n_left),
        )

    def begin(self) -> str | None:
        trial = f"trial-{self.begun}"
        if self.flow.next_trial(trial) is None:
            return None
        self.begun += 1
        return trial

    def begin_all(self) -> list[str]:
        trials = []
        while (trial := self.begin()) is not None:
            trials.append(trial)
        return trials

    def say_last_word(self, trial: str, **word: Any) -> None:
        row = {"corruption": "contrast", "severity": 1, "error": 0.3}
        test = {"clean": 0.1, "corrupted": [row], "tuned_distortion": None}
        errors = {"objective": 0.25, "validation": {"clean": 0.1}, "test": test}
        word = word or {"objective": 0.25, "errors": errors}
        assert self.flow.on_result(trial, {"records": [], "stages": {}, **word}) is False

    def states(self) -> list[str]:
        return [event["tags"]["state"] for event in self.told("end")]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return what the tracking heard of trials, by the kind of event."""
        return [event for event in self.spool.all_events() if event["event"] == kind and not is_group(event["slot"])]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_trial_ends_with_its_last_word_and_once(scene: Scene) -> None:
    first, *_ = scene.begin_all()
    scene.say_last_word(first)
    assert scene.study.n_finished == 1
    scene.say_last_word(first)  # it was begun anew after it had said so
    scene.flow.on_end(first, error=True)
    assert scene.study.n_finished == 1
    assert scene.states() == ["COMPLETE"]
    assert scene.released == [first]


def test_a_trial_that_cannot_go_on_fails(scene: Scene) -> None:
    first, second, *_ = scene.begin_all()
    scene.flow.on_end(first, error=True)
    scene.say_last_word(second, failure="no reason at all")
    scene.flow.on_end(second, error=False)
    assert scene.states() == ["FAIL", "FAIL"]


def test_a_failure_is_kept_with_its_stage(scene: Scene) -> None:
    first, *_ = scene.begin_all()
    scene.say_last_word(first, failure="loss became nan", stage="pretrain")
    (trial,) = scene.study.finished()
    assert trial.user_attrs["reason"] == {"kind": "stage", "stage": "pretrain", "text": "loss became nan"}


def test_a_pruned_trial_is_kept_with_stage_epoch_and_step(tmp_path: Path) -> None:
    scene = Scene(tmp_path, pruner="threshold:0.6")
    for _ in range(4):  # the arms, which are not pruned
        trial = scene.begin() or ""
        scene.say_last_word(trial)
        scene.flow.on_end(trial, error=False)
    trial = scene.begin() or ""
    common = {"stage": "finetune", "value": 0.9, "own": True, "own_watch": True}
    epochs = [{**common, "epoch": epoch, "step": epoch + 2} for epoch in (1, 2)]
    assert scene.flow.on_result(trial, {"records": epochs}) is True
    scene.flow.on_end(trial, error=False)
    (pruned,) = [trial for trial in scene.study.finished() if trial.state.name == "PRUNED"]
    assert pruned.user_attrs["reason"] == {
        "kind": "pruner",
        "stage": "finetune",
        "pruner": "threshold",
        "epoch": 2,
        "step": 4,
        "value": 0.9,
        "bound": 0.6,
    }


def test_a_repeat_of_a_pruned_trial_ends_without_a_way(scene: Scene, monkeypatch) -> None:
    ask = scene.study.ask

    def ask_for_a_repeat() -> Proposal | None:
        proposal = ask()
        if proposal is None or not proposal.planned.name.startswith("proposal/"):
            return proposal
        return replace(proposal, end=Reason("repeat", trial=1))

    monkeypatch.setattr(scene.study, "ask", ask_for_a_repeat)
    while not scene.flow.finished:
        for trial in scene.begin_all():
            scene.say_last_word(trial)
            scene.flow.on_end(trial, error=False)
    assert scene.begun == 4, "the arms alone; there is no winner"
    ends = {event["slot"]: event["tags"] for event in scene.told("end")}
    assert ends["proposal/0"] == {"state": "PRUNED", "prune_reason": "it repeats trial 1, which was pruned"}
    assert {trial.state.name for trial in scene.study.finished()[4:]} == {"PRUNED"}


def test_the_next_trial_begins_when_one_is_over(scene: Scene) -> None:
    trials = scene.begin_all()
    assert len(trials) == N_TOGETHER
    scene.say_last_word(trials[0])
    assert scene.begin() is None
    scene.flow.on_end(trials[0], error=False)
    assert len(scene.begin_all()) == 1


def epoch(step: int, value: float, *, own_watch: bool, stage: str = "pretrain") -> dict[str, Any]:
    return {"stage": stage, "step": step, "epoch": step, "value": value, "own": True, "own_watch": own_watch}


def test_only_values_of_a_trial_s_own_probe_are_compared(scene: Scene) -> None:
    first, *_ = scene.begin_all()
    records = [epoch(1, 0.9, own_watch=False), epoch(2, 0.5, own_watch=True)]
    scene.flow.on_result(first, {"records": records, "stages": {}})
    assert scene.study._trials[0].intermediate_values == {2: 0.5}
    shown = [step for event in scene.spool.all_events() if event["event"] == "metrics" for step, _ in event["steps"]]
    assert shown == [1, 2], "both are shown"


def test_a_run_is_tagged_with_the_labelled_noisy_images_that_it_uses(scene: Scene) -> None:
    for trial in scene.begin_all():
        scene.say_last_word(trial)
        scene.flow.on_end(trial, error=False)
    while scene.begin_all():
        pass
    for event in scene.told("start"):
        tuned = event["params"]["finetune.which"] != "none"
        words = "20 labelled noisy images (16 trained on, 4 held out to select the epoch)"
        assert event["tags"].get("labelled_noisy") == (words if tuned else None)
    tags = [event["tags"] for event in scene.told("start")]
    assert {"labelled_noisy" in found for found in tags} == {True, False}


def test_what_the_machines_have_ended_is_kept_as_that(scene: Scene) -> None:
    first, second, *_ = scene.begin_all()
    scene.say_last_word(first, failure="the store failed", stage="pretrain", infrastructure=True)
    scene.flow.on_end(second, error=True)
    assert [trial.reason.kind for trial in scene.study.results().trials] == ["infrastructure", "process"]
    assert (scene.study.n_finished, scene.study.n_set_aside) == (0, 2)


def test_where_no_stage_can_be_run_the_sweep_ends_and_no_trial_with_it(scene: Scene) -> None:
    stops: list[bool] = []
    scene.flow._stop = lambda: stops.append(True)
    trials = scene.begin_all()
    word = {"failure": "no stage worker can start: no disk", "infrastructure": True, "hopeless": True}
    for trial in trials:
        assert scene.flow.on_result(trial, {"records": [], "stages": {}, **word}) is True
        scene.flow.on_end(trial, error=False)
    assert (scene.flow.fault, stops) == (word["failure"], [True])
    assert scene.flow.finished
    assert scene.begin() is None
    scene.flow.interrupt()
    assert scene.study.results().trials == (), "all of them are run again"


def test_the_tracking_hears_where_each_stage_was_computed(scene: Scene) -> None:
    first, second, *_ = scene.begin_all()
    test = {"clean": 0.1, "corrupted": [], "tuned_distortion": None}
    errors = {"objective": 0.25, "validation": {"clean": 0.1}, "test": test}
    stages = {"pretrain": {"host": "gpu-1"}, "evaluate": {"host": "gpu-2"}, "rank": {"key": "c"}}
    scene.say_last_word(first, objective=0.25, errors=errors, stages=stages)
    scene.say_last_word(second, failure="loss became nan", stage="evaluate", stages={"pretrain": stages["pretrain"]})
    tags = [event["tags"] for event in scene.told("end")]
    found = [{name: value for name, value in one.items() if name.startswith("host.")} for one in tags]
    assert found == [{"host.pretrain": "gpu-1", "host.evaluate": "gpu-2"}, {"host.pretrain": "gpu-1"}]


def test_the_end_is_prepared_once_when_the_first_of_the_last_trials_has_ended(scene: Scene) -> None:
    live = scene.begin_all()
    while scene.study.n_left:
        trial = live.pop(0)
        scene.say_last_word(trial)
        scene.flow.on_end(trial, error=False)
        live += scene.begin_all()
    assert scene.prepared_at == []
    scene.flow.on_end(live.pop(), error=True)
    assert scene.prepared_at == [0]
    scene.flow.on_end(live.pop(), error=True)
    assert scene.prepared_at == [0]


@pytest.mark.parametrize("n_slots", [N_TOGETHER, N_TOGETHER + 1])
def test_the_end_is_prepared_at_once_where_slots_have_nothing_to_do(tmp_path: Path, n_slots: int) -> None:
    scene = Scene(tmp_path, n_slots=n_slots)
    live = scene.begin_all()
    assert len({next(iter(trial.plan)).key for trial in scene.flow._live.values()}) == N_TOGETHER
    assert scene.prepared_at == []
    epoch = {"stage": "pretrain", "epoch": 1, "step": 1, "value": 0.5, "own": True, "own_watch": True}
    for trial in live:
        scene.flow.on_result(trial, {"records": [epoch]})
    assert scene.prepared_at == [scene.study.n_left] * (n_slots > N_TOGETHER)


def test_it_is_not_while_some_are_beyond_their_first_stages(tmp_path: Path) -> None:
    scene = Scene(tmp_path, n_slots=N_TOGETHER + 1)
    first, *_ = scene.begin_all()
    epoch = {"stage": "finetune", "epoch": 1, "step": 5, "value": 0.5, "own": True, "own_watch": True}
    scene.flow.on_result(first, {"records": [epoch]})
    assert scene.prepared_at == []
