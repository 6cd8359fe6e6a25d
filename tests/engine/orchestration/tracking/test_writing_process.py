import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.orchestration.tracking import (
    MlflowWriter,
    Spool,
    SpoolWriter,
    TrackerRequest,
    TrackingEvents,
    TrackingProcess,
)
from engine.orchestration.tracking import writing_process as process_module
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.priority import LEAST
from engine.result_names import Tag


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """One folder for the module: making MLflow's tables takes seconds."""
    return tmp_path_factory.mktemp("tracking")


def uri(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


def filled_spool(home: Path, study: str) -> Spool:
    """Return a spool with the four events of a sweep of one trial."""
    spool = Spool(home / f"{study}.jsonl")
    tracker = TrackingEvents(spool)
    tracker.start_sweep(study, {"space": "tiny"}, {})
    tracker.start_trial("proposal/0", 0, {"seed": 1}, {})
    tracker.end_trial("proposal/0", "FINISHED", tags={"state": "PRUNED"}, step=0)
    tracker.end_sweep("FINISHED", {}, {}, {})
    return spool


def process_of(home: Path, study: str, spool: Spool, to: str | None = None) -> TrackingProcess:
    return TrackingProcess("mlflow", TrackerRequest(study, home, to), spool)


def writer_of(home: Path, study: str, spool: Spool) -> SpoolWriter:
    return SpoolWriter(MlflowWriter(uri(home), study, artifacts=home / "mlartifacts"), spool)


def written_slots(home: Path, study: str) -> set[str]:
    prepare_environment()
    from mlflow import MlflowClient

    client = MlflowClient(uri(home))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`{Tag.STUDY}` = '{study}'")
    assert {run.info.status for run in found} == {"FINISHED"}
    return {run.data.tags["robustune.slot"] for run in found}


def wait_for(condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_writes_while_it_runs_and_tells_the_experiment(home: Path) -> None:
    spool = filled_spool(home, "runs")
    process = process_of(home, "runs", spool)
    process.start()
    wait_for(lambda: spool.n_waiting() == 0)
    wait_for(lambda: process.experiment)
    TrackingEvents(spool).start_trial("proposal/1", 1, {"seed": 2}, {})
    TrackingEvents(spool).end_trial("proposal/1", "FINISHED", tags={}, step=0)
    assert process.close(120)
    assert process.last_error == ""
    assert written_slots(home, "runs") == {"sweep", "proposal/0", "proposal/1"}
    assert not spool.path.with_suffix(".lease").exists()


def test_it_writes_everything_when_its_driver_dies(home: Path) -> None:
    spool = filled_spool(home, "orphan")
    driver = os.fork()
    if not driver:
        process_of(home, "orphan", spool).start()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(driver, 0)[1] == signal.SIGKILL
    wait_for(lambda: spool.n_waiting() == 0 and not spool.path.with_suffix(".lease").exists())
    assert written_slots(home, "orphan") == {"sweep", "proposal/0"}


def test_a_process_that_was_killed_is_said_and_loses_nothing(home: Path) -> None:
    spool = filled_spool(home, "killed")
    process = process_of(home, "killed", spool)
    process.start()
    assert process._process is not None
    process._process.kill()
    wait_for(lambda: process.last_error)
    assert process.last_error == "the process that writes to mlflow ended with code -9"
    assert process.close(60) is False
    assert spool.n_waiting() == 4


def test_an_outage_does_not_hold_up_the_end_and_hides_the_password(home: Path) -> None:
    spool = filled_spool(home, "quick")
    process = process_of(home, "quick", spool, "http://user:hunter2@127.0.0.1:9")
    process.start()
    assert process._process is not None
    command = Path(f"/proc/{process._process.pid}/cmdline").read_text()
    assert "hunter2" not in command
    wait_for(lambda: process.last_error)
    assert "hunter2" not in process.last_error
    began = time.monotonic()
    assert process.close(120) is False
    assert time.monotonic() - began < process_module.OUTAGE_WAIT_S + 10
    assert spool.n_waiting() == 4


def test_one_process_writes_a_spool_at_a_time(home: Path, monkeypatch) -> None:
    monkeypatch.setattr(process_module, "OUTAGE_WAIT_S", 100.0)  # a busy machine takes long to import MLflow
    spool = filled_spool(home, "twice")
    first = writer_of(home, "twice", spool)
    second = process_of(home, "twice", spool)
    assert first.lease.acquire()
    second.start()
    wait_for(lambda: second.last_error)
    assert second.last_error == "RuntimeError: another process writes the events of twice.jsonl"
    assert spool.n_waiting() == 4
    first.lease.release()
    assert second.close(100)
    assert written_slots(home, "twice") == {"proposal/0", "sweep"}
    assert not spool.path.with_suffix(".lease").exists()


def test_a_writer_whose_lease_was_taken_over_while_it_slept_writes_no_more(home: Path) -> None:
    spool = filled_spool(home, "slept")
    sleeper, other = (writer_of(home, "slept", spool) for _ in range(2))
    spool.mark(spool.pending()[1])  # all is written so far
    told, rounds = [], []

    def sleep(seconds: float) -> bool:
        rounds.append(seconds)
        if len(rounds) == 2:  # it has the lease
            os.utime(other.lease.path, (1, 1))
            assert other.lease.acquire()
            TrackingEvents(spool).start_trial("proposal/1", 1, {"seed": 1}, {})
        return len(rounds) == 3

    process_module.keep_writing(sleeper, told_to_end=sleep, tell=told.append)
    assert told[-1]["error"] == "RuntimeError: another process writes the events of slept.jsonl"
    assert spool.n_waiting() == 1
    assert other.lease.is_held
    other.lease.release()


class Watched:
    """Takes events as a tracker's writer does, and keeps with which priority it was asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def _note(self, what: str) -> None:
        self.asked.append((what, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    def connect(self) -> str:
        return ""

    def write(self, events) -> None:
        self._note("write")

    def drop(self) -> None: ...

    def prepare_end(self, *, with_network: bool) -> None:
        self._note("with a network" if with_network else "without a network")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_what_is_written_before_the_end_steps_back_and_what_is_left_then_does_not(home: Path) -> None:
    spool, watched = filled_spool(home, "aside"), Watched()
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    rounds = []

    def wait(seconds: float) -> bool:
        rounds.append(seconds)
        if len(rounds) == 4:
            TrackingEvents(spool).start_trial("proposal/1", 1, {"seed": 1}, {})
        return len(rounds) == 4

    with process_module.Aside(lambda seconds: False) as aside:
        process_module.keep_writing(
            SpoolWriter(watched, spool),
            told_to_end=wait,
            tell=lambda news: None,
            said=lambda: process_module._WITH_NETWORK if len(rounds) > 1 else "",
            aside=aside,
        )
    assert watched.asked == [("write", LEAST), ("with a network", usual), ("write", usual)]
    assert spool.n_waiting() == 0


def test_what_the_driver_says_and_that_it_ends_wake_the_writer(tmp_path: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(read) as file, os.fdopen(write, "w", buffering=1) as driver:
        end = process_module._EndOfInput(file)
        assert end(0) is False
        assert end.last_line == ""
        driver.write("the end is near\n")
        assert end(60) is False
        assert end.last_line == "the end is near"
        driver.close()
        assert end(60) is True
        assert end(60) is True


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can take a priority back")
def test_what_is_being_written_when_the_end_comes_does_not_step_back_any_more() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    ended, seen = threading.Event(), []

    def work() -> None:
        end = time.monotonic() + 60
        ended.set()
        while not seen or (seen[-1] != usual and time.monotonic() < end):
            seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    with process_module.Aside(ended.wait) as aside:
        aside(lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        aside(work)
    assert seen[0] == LEAST
    assert seen[-1] == usual
