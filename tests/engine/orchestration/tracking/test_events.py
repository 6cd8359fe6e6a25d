from pathlib import Path
from typing import Any

import pytest

from engine.metrics import Baseline
from engine.orchestration.tracking import Spool, TrackingEvents
from engine.orchestration.tracking.trial_metrics import final_metrics
from engine.report.reasons import Reason
from engine.report.trial_results import TrialResult
from tests.engine.orchestration.tracking.test_mlflow_tracker import ERRORS


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "events.jsonl")


def ended(slot: str, state: str, errors: dict[str, Any] | None = None) -> TrialResult:
    objective = errors["objective"] if errors else None
    return TrialResult(0, slot, "", 0, state, {"push_pull.h": 2.0}, objective, errors, Reason("words", text="why"), {})


def start(tracker: TrackingEvents, *slots: str) -> None:
    for slot in slots:
        tracker.start_trial(slot, 0, {}, {})
        tracker.epochs(slot, [{"step": step, "probe_error": 0.5} for step in (1, 2)])


def test_a_slot_is_open_from_its_start_to_its_end(spool: Spool) -> None:
    tracker = TrackingEvents(spool)
    tracker.start_sweep("s", {}, {})
    start(tracker, "a", "b")
    tracker.end_trial("a", "FINISHED", tags={}, step=2)
    assert tracker.open_runs() == {"sweep": 0, "b": 2}
    tracker.end_trial("b", "FINISHED", tags={}, step=2)
    tracker.end_sweep("FINISHED", {}, {}, {})
    assert tracker.open_runs() == {}
    start(tracker, "b")
    spool.mark(spool.pending()[1])
    assert TrackingEvents(Spool(spool.path)).open_runs() == {"b": 2}, "what is written counts too"


def test_a_trial_whose_driver_died_after_the_study_knew_is_ended(spool: Spool) -> None:
    tracker = TrackingEvents(spool)
    start(tracker, "complete", "failed", "pruned", "interrupted")
    spool.mark(spool.pending()[1])
    unknown = ended("unknown", "COMPLETE", ERRORS)
    tracker.make_up(
        [ended("complete", "COMPLETE", ERRORS), ended("failed", "FAIL"), ended("pruned", "PRUNED"), unknown]
    )
    events = {event["slot"]: event for event in spool.pending()[0]}
    assert {slot: event["status"] for slot, event in events.items()} == {
        "complete": "FINISHED",
        "failed": "FAILED",
        "pruned": "FINISHED",
    }
    assert events["complete"]["metrics"]["objective"] == ERRORS["objective"]
    assert events["complete"]["step"] == 2
    assert events["failed"]["tags"] == {"state": "FAIL", "fail_reason": "why"}
    assert events["pruned"]["tags"] == {"state": "PRUNED", "prune_reason": "why"}
    tracker.make_up([ended("complete", "COMPLETE", ERRORS)])
    assert len(spool.pending()[0]) == 3, "once is enough"


def test_scores_against_a_baseline_are_metrics(spool: Spool) -> None:
    baseline = Baseline("baseline x", {"gaussian_noise": 0.4}, 0.2, (1, 2))
    tracker = TrackingEvents(spool, baseline)
    start(tracker, "a")
    spool.mark(spool.pending()[1])
    tracker.end_trial("a", "FINISHED", tags={"state": "COMPLETE"}, step=2, errors=ERRORS)
    (event,) = spool.pending()[0]
    # errors 0.2 and 0.4, clean 0.125: 0.6 / 0.8 and 0.175 / 0.2
    found = {name: value for name, value in event["metrics"].items() if name.startswith("score/")}
    assert found == pytest.approx(
        {"score/mCE": 0.75, "score/CE/gaussian_noise": 0.75, "score/rCE": 0.875, "score/rCE/gaussian_noise": 0.875}
    )


def test_calibration_is_in_the_metrics_of_clean_images_and_as_the_mean_of_corrupted_ones() -> None:
    test = ERRORS["test"] | {"calibration": {"ece": 0.25, "nll": None, "brier": 0.5}}
    values = zip(test["corrupted"], ((0.5, 1.0), (0.25, 3.0)), strict=True)
    test["corrupted"] = [{**row, "ece": ece, "nll": nll, "brier": None} for row, (ece, nll) in values]
    found = {name: value for name, value in final_metrics({**ERRORS, "test": test}).items() if "score/" in name}
    expected = {"score/clean_ECE": 0.25, "score/clean_Brier": 0.5, "score/ECE": 0.375, "score/NLL": 2.0}
    assert found == pytest.approx(expected)


def test_a_trial_that_a_baseline_does_not_cover_is_recorded_without_scores(spool: Spool) -> None:
    tracker = TrackingEvents(spool, Baseline("baseline x", {"contrast": 0.4}, 0.2))
    start(tracker, "a")
    spool.mark(spool.pending()[1])
    tracker.end_trial("a", "FINISHED", tags={"state": "COMPLETE"}, step=2, errors=ERRORS)
    (event,) = spool.pending()[0]
    assert event["tags"] == {"state": "COMPLETE", "scores": "baseline x has no error for gaussian_noise"}
    assert not any(name.startswith("score/") for name in event["metrics"])
    assert event["metrics"]["test/gaussian_noise"] == pytest.approx(0.3)


def test_another_trial_s_probe_is_shown_under_a_name_of_its_own(spool: Spool) -> None:
    tracker = TrackingEvents(spool)
    tracker.start_trial("a", 0, {}, {})
    epoch = {"loss": 1.0, "validation_error": 0.25, "probe_error": 0.5, "tuned_distortion_error": 0.75}
    tracker.epochs("a", [{**epoch, "step": 1, "own_watch": False}, {**epoch, "step": 2, "own_watch": True}])
    _, event = spool.pending()[0]
    first, second = (set(metrics) for _, metrics in event["steps"])
    assert first == {"train/loss", "validation/error", "other_probe/error", "other_probe/tuned_distortion"}
    assert second == {"train/loss", "validation/error", "probe/error", "probe/tuned_distortion"}


def test_what_a_group_is_means_nothing_to_markdown_as_which_mlflow_shows_it(spool: Spool) -> None:
    tracker = TrackingEvents(spool)
    tracker.start_group("arm/a/0", "a", {"model.name": "my_net_v2"}, {"model.name": "<b>my_net_v2</b>"})
    (event,) = spool.pending()[0]
    assert event["tags"]["mlflow.note.content"] == r"model.name=\<b\>my\_net\_v2\</b\>"
    assert event["tags"]["robustune.group"] == "a"
