"""What every tracker must keep, whoever registered it, and what its names and errors say."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.orchestration.tracking import (
    TRACKERS,
    Spool,
    SpoolWriter,
    TrackerRequest,
    TrackingEvents,
    TrackingProcess,
    check_tracker,
    register_tracker,
)
from engine.orchestration.tracking.mlflow_database import prepare_environment, tracking_uri
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.orchestration.tracking.trackers import make_writer
from tests.engine.orchestration.tracking.test_mlflow_tracker import ERRORS


def mlflow_holds(home: Path, study: str) -> Any:
    prepare_environment()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(home, None))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`robustune.study` = '{study}'")
    return sorted(
        (run.data.tags["robustune.slot"], run.info.status, sorted(run.data.metrics.items()), n_steps(client, run))
        for run in found
    )


def n_steps(client: Any, run: Any) -> int:
    return len(client.get_metric_history(run.info.run_id, "probe/error"))


def csv_holds(home: Path, study: str) -> Any:
    with (home / "csv" / f"{study}.csv").open(newline="") as file:
        return sorted(tuple(row[1:]) for row in csv.reader(file))


HOLDS: dict[str, Callable[[Path, str], Any]] = {"mlflow": mlflow_holds, "csv": csv_holds}
"""{tracker: what it has of a study}."""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """One folder for the module: making MLflow's tables takes seconds."""
    return tmp_path_factory.mktemp("trackers")


def filled_spool(home: Path, tracker: str, study: str) -> Spool:
    spool = Spool(home / "spools" / tracker / f"{study}.jsonl")
    events = TrackingEvents(spool)
    events.start_sweep(study, {"space": "tiny"}, {"git_commit": "abc"})
    events.start_trial("proposal/0", 0, {"push_pull.h": 2.0}, {})
    events.epochs("proposal/0", [{"step": step, "probe_error": 0.5 / step, "loss": 1.0} for step in (1, 2)])
    events.end_trial("proposal/0", "FINISHED", tags={"state": "COMPLETE"}, step=2, errors=ERRORS)
    events.start_trial("proposal/1", 1, {"push_pull.h": 1.5}, {})
    events.end_trial("proposal/1", "FAILED", tags={"state": "FAIL"}, step=0)
    events.end_sweep("FINISHED", {"best_objective": 0.25}, {"answer.txt": "42"}, {})
    return spool


def test_the_tests_know_what_every_tracker_holds() -> None:
    assert set(HOLDS) == set(TRACKERS), "say in HOLDS what of a study the tracker has"


@pytest.mark.parametrize("tracker", TRACKERS)
def test_every_tracker_has_all_that_was_told(home: Path, tracker: str) -> None:
    request = TrackerRequest("told", home)
    check_tracker(tracker, request)
    spool = filled_spool(home, tracker, "told")
    assert SpoolWriter(make_writer(tracker, request), spool).flush() == 7
    assert spool.n_waiting() == 0
    text = str(HOLDS[tracker](home, "told"))
    assert all(
        value in text for value in ("proposal/0", "sweep", "probe/error", "test/clean", "0.125", "best_objective")
    )


@pytest.mark.parametrize("tracker", TRACKERS)
def test_no_tracker_doubles_what_comes_again_after_a_crash(home: Path, tracker: str) -> None:
    request = TrackerRequest("again", home)
    spool = filled_spool(home, tracker, "again")
    SpoolWriter(make_writer(tracker, request), spool).flush()
    once = HOLDS[tracker](home, "again")
    spool.mark(0)  # it was killed before it noted what it had written
    assert SpoolWriter(make_writer(tracker, request), spool).flush() == 7
    assert HOLDS[tracker](home, "again") == once
    writer = SpoolWriter(make_writer(tracker, request), spool)
    for _ in range(2):  # and in one process, event by event
        spool.mark(0)
        writer.flush()
    assert HOLDS[tracker](home, "again") == once


@pytest.mark.parametrize("tracker", TRACKERS)
def test_every_tracker_goes_on_after_a_failure(home: Path, tracker: str) -> None:
    request = TrackerRequest("failed", home)
    writer = make_writer(tracker, request)
    writer.connect()
    writer.drop()
    spool = filled_spool(home, tracker, "failed")
    assert SpoolWriter(writer, spool).flush() == 7
    assert HOLDS[tracker](home, "failed")


@pytest.mark.parametrize("tracker", TRACKERS)
def test_every_tracker_is_written_to_by_a_process_of_its_own(home: Path, tracker: str) -> None:
    imports = ["my_tracker"] if tracker == "csv" else []
    spool = filled_spool(home, tracker, "beside")
    process = TrackingProcess(tracker, TrackerRequest("beside", home), spool, imports=imports)
    process.start()
    assert process.close(120), process.last_error
    assert HOLDS[tracker](home, "beside")


@pytest.fixture
def _names_of_one_test(monkeypatch) -> None:
    for part in ("_entries", "_origins", "_sources"):
        monkeypatch.setattr(TRACKERS, part, dict(getattr(TRACKERS, part)))


@pytest.mark.usefixtures("_names_of_one_test")
def test_a_tracker_that_cannot_work_is_one_sentence_before_anything_starts(tmp_path: Path) -> None:
    given = TrackerRequest("study", tmp_path, uri="nowhere://")

    def refuse(request: TrackerRequest) -> None:
        raise InputError(f"no such place: {request.uri}")

    def fails(request: TrackerRequest) -> Any:
        raise KeyError("token")

    register_tracker("refusing", "refuses", check=refuse)(fails)
    with pytest.raises(InputError, match=r"^no such place: nowhere://$"):
        check_tracker("refusing", given)
    register_tracker("failing", "fails")(fails)
    with pytest.raises(InputError, match=r"^tracker 'failing' fails: KeyError: 'token'$"):
        check_tracker("failing", given)
    register_tracker("lacking", "has no methods")(lambda request: object())
    with pytest.raises(InputError, match="'lacking' must have the methods of `Writer`, and lacks connect, write, drop"):
        check_tracker("lacking", given)
    with pytest.raises(InputError, match=r"unknown tracker 'mlfow' \(did you mean 'mlflow'"):
        check_tracker("mlfow", given)


def test_what_a_tracker_raises_is_told_and_its_events_wait(tmp_path: Path) -> None:
    class Broken:
        dropped = 0

        def connect(self) -> str:
            return ""

        def write(self, events: Any) -> None:
            raise OSError("disk is full")

        def drop(self) -> None:
            self.dropped += 1

    broken, spool = Broken(), filled_spool(tmp_path, "broken", "study")
    with pytest.raises(OSError, match="disk is full"):
        SpoolWriter(broken, spool).flush()
    assert broken.dropped == 1
    assert spool.n_waiting() == 7
