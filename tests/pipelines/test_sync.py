"""Writing later what a tracking server did not take."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.orchestration.tracking import MlflowWriter, Spool, SpoolWriter, TrackingEvents
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.orchestration.tracking.spool_owner import SpoolOwner, check_owner, note_owner, owner_of
from pipelines.sync import command_line
from tests.documents import bring_module


def fill(home: Path, study: str) -> Spool:
    """Leave five events of a sweep with one trial."""
    spool = Spool(home / "tracking" / f"{study}.jsonl")
    tracker = TrackingEvents(spool)
    tracker.start_sweep(study, {"space": "tiny"}, {"git_commit": "abc"})
    tracker.start_trial("proposal/0", 3, {"push_pull.h": 2.0}, {})
    tracker.epochs("proposal/0", [{"step": step, "probe_error": 0.5} for step in (1, 2)])
    tracker.end_trial("proposal/0", "FAILED", tags={"state": "FAIL"}, step=2)
    tracker.end_sweep("FINISHED", {}, {"answer.txt": "42"}, {})
    return spool


def statuses(uri: str, study: str) -> dict[str, str]:
    prepare_environment()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`robustune.study` = '{study}'")
    assert len({run.data.tags["robustune.slot"] for run in runs}) == len(runs), "a slot has two runs"
    return {run.data.tags["robustune.slot"]: run.info.status for run in runs}


def test_every_study_s_waiting_events_are_written_once(tmp_path: Path, capsys) -> None:
    fill(tmp_path, "one")
    fill(tmp_path, "two")
    assert command_line(["--home", str(tmp_path)]) == 0
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert capsys.readouterr().out == f"study one: 5 events written to {uri}\nstudy two: 5 events written to {uri}\n"
    for study in ("one", "two"):
        assert statuses(uri, study) == {"sweep": "FINISHED", "proposal/0": "FAILED"}
    assert command_line(["--home", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no events wait in {tmp_path / 'tracking'}\n"


def test_a_study_whose_sweep_is_at_work_is_left_to_it(tmp_path: Path, capsys) -> None:
    spool = fill(tmp_path, "one")
    writer = SpoolWriter(MlflowWriter("http://127.0.0.1:9", "one", artifacts=None), spool)
    assert writer.lease.acquire()
    assert command_line(["--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "study one: 5 events wait (its sweep, or another sync, is writing them)\n"
    writer.lease.release()


def test_a_server_that_is_still_away_is_said_without_its_password(tmp_path: Path, capsys) -> None:
    fill(tmp_path, "one")
    assert command_line(["--home", str(tmp_path), "--tracking-uri", "http://user:hunter2@127.0.0.1:9"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("study one: 5 events wait (MlflowException: ")
    assert "hunter2" not in captured.err + captured.out


def test_a_tracker_of_one_s_own_takes_what_waits(tmp_path: Path, capsys) -> None:
    bring_module("my_tracker")
    note_owner(fill(tmp_path, "one"), SpoolOwner("csv"))
    own = ["--home", str(tmp_path), "--tracker", "csv", "--import", "my_tracker"]
    assert command_line(own) == 0
    assert capsys.readouterr().out == "study one: 5 events written to csv\n"
    assert "proposal/0,2,probe/error,0.5" in (tmp_path / "csv" / "one.csv").read_text()
    assert not (tmp_path / "mlflow.db").exists()
    assert command_line(["--home", str(tmp_path), "--tracker", "cvs"]) == 2
    assert "unknown tracker 'cvs' (did you mean 'csv'" in capsys.readouterr().err


def test_events_of_another_tracker_are_passed_over_with_the_command_that_writes_them(tmp_path: Path, capsys) -> None:
    bring_module("my_tracker")
    fill(tmp_path, "of-mlflow")
    owner = SpoolOwner("csv", "http://user:hunter2@127.0.0.1:9", ("my_tracker",))
    note_owner(fill(tmp_path, "of-csv"), owner)
    assert command_line(["--home", str(tmp_path), "--tracker", "csv", "--import", "my_tracker"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "study of-csv: 5 events written to csv\n"
    command = f"python -m pipelines.sync --home {tmp_path}"
    assert captured.err == (
        f"study of-mlflow: 5 events passed over (they are for tracker 'mlflow'); write them with: {command}\n"
    )
    assert not (tmp_path / "csv" / "of-mlflow.csv").exists()
    note_owner(fill(tmp_path, "of-csv"), owner)
    assert command_line(["--home", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("study of-mlflow: 5 events written to sqlite:")
    assert f"{command} --tracking-uri 'http://***@127.0.0.1:9' --tracker csv --import my_tracker\n" in captured.err


def test_a_study_goes_on_with_another_tracker_once_nothing_waits_for_the_one_before(tmp_path: Path) -> None:
    spool = fill(tmp_path, "one")
    check_owner(tmp_path, "one", "mlflow")
    check_owner(tmp_path, "two", "csv")
    with pytest.raises(
        InputError, match=r"^5 events of study one wait for tracker 'mlflow'.*: python -m pipelines.sync "
    ):
        check_owner(tmp_path, "one", "csv")
    spool.mark(spool.pending()[1])
    note_owner(spool, SpoolOwner("mlflow"))
    assert spool.n_waiting() == 0
    check_owner(tmp_path, "one", "csv")
    note_owner(spool, SpoolOwner("csv"))
    assert spool.n_waiting() == 5, "the new one is told all"
    assert owner_of(spool.path) == SpoolOwner("csv")


def test_a_damaged_note_is_a_sentence(tmp_path: Path, capsys) -> None:
    fill(tmp_path, "one").path.with_suffix(".tracker").write_text("[]")
    assert command_line(["--home", str(tmp_path)]) == 2
    assert "one.tracker does not say which tracker" in capsys.readouterr().err


def test_a_folder_without_events_is_refused(tmp_path: Path, capsys) -> None:
    assert command_line(["--home", str(tmp_path / "none")]) == 2
    assert "error: no sweep has left tracking events in" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Start an MLflow server on a port; it answers when the call returns."""
    processes = []

    def start(port: int) -> None:
        program = Path(sys.executable).parent / "mlflow"
        database, artifacts = f"sqlite:///{tmp_path / 'server.db'}", str(tmp_path / "server")
        words = ["server", "--backend-store-uri", database, "--artifacts-destination", artifacts, "--workers", "1"]
        process = subprocess.Popen(
            [program, *words, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=tmp_path,
        )
        processes.append(process)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5)
                return
            except OSError:
                time.sleep(0.5)
        raise AssertionError("the server does not answer")

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_a_real_server_that_was_away_gets_everything_once_it_is_back(tmp_path: Path, capsys, start_server) -> None:
    home, port = tmp_path / "home", free_port()
    fill(home, "one")
    uri = f"http://127.0.0.1:{port}"
    assert command_line(["--home", str(home), "--tracking-uri", uri]) == 1
    assert "study one: 5 events wait" in capsys.readouterr().err
    start_server(port)
    assert command_line(["--home", str(home), "--tracking-uri", uri]) == 0
    assert capsys.readouterr().out == f"study one: 5 events written to {uri}\n"
    assert statuses(uri, "one") == {"sweep": "FINISHED", "proposal/0": "FAILED"}
    assert [path.read_text() for path in (tmp_path / "server").rglob("answer.txt")] == ["42"]
