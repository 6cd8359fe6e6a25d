"""Two drivers on one study, and an outage of the tracking server, as processes."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from engine.orchestration.search import driver_lease as lease
from engine.orchestration.search.driver_lease import DRIVER, DriverLease
from engine.orchestration.search.stored_studies import open_study
from engine.orchestration.tracking import Spool
from pipelines.sweep import command_line
from tests.pipelines.test_sweep import ALONG, N_TRIALS, ROOT, command, states


def attribute(home: Path) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name="tiny")
    return study.user_attrs.get(DRIVER)


def attribute_or_none(home: Path) -> Any:
    try:
        return attribute(home)
    except Exception:  # not there yet, or being made
        return None


def test_a_study_that_another_driver_holds_is_refused_before_anything_starts(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    home = tmp_path / "home"
    words = command(home)[3:]
    study = open_study(ALONG, 0, storage=f"sqlite:///{home / 'optuna.db'}", name="tiny")
    with DriverLease(study):
        assert command_line(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: study 'tiny' is being run by process ")
    assert captured.err.count("\n") == 1
    assert "Ray" not in captured.out
    assert study.get_trials() == []


def lease_files(home: Path) -> list[Path]:
    return list((home / "store" / "leases").glob("*/*.json"))


@pytest.mark.slow
def test_a_driver_is_alone_until_it_is_interrupted_and_leaves_no_lease(tmp_path: Path, capsys) -> None:
    home = tmp_path / "home"
    with subprocess.Popen(
        command(home), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as driver:
        end = time.monotonic() + 120
        while attribute_or_none(home) is None or not states(home):
            assert time.monotonic() < end
            time.sleep(0.3)
        assert attribute(home)["holder"]["pid"] == driver.pid
        assert any(path.parent.name == "sweeps" for path in lease_files(home))
        assert command_line(command(home)[3:]) == 2
        assert f"error: study 'tiny' is being run by process {driver.pid} on" in capsys.readouterr().err
        driver.send_signal(signal.SIGINT)
        driver.communicate(timeout=120)
    assert attribute(home) is None
    assert [path for path in lease_files(home) if path.parent.name == "sweeps"] == []


@pytest.mark.slow
def test_an_outage_of_the_tracking_server_is_said_with_the_command_that_makes_up_for_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = command(home, "--tracking-uri", "http://user:hunter2@127.0.0.1:9")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(states(home)) == N_TRIALS
    n_waiting = len(Spool(home / "tracking" / "tiny.jsonl").pending()[0])
    assert f"{n_waiting} events wait in {home / 'tracking' / 'tiny.jsonl'}" in done.stdout
    assert f"python -m pipelines.sync --home {home} --tracking-uri" in done.stdout
    assert "***@127.0.0.1:9" in done.stdout
    written = [path for path in home.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert written == []
    assert "hunter2" not in done.stdout + done.stderr
