"""A sweep whose database is locked, whose home is full, or that is told to end by other means than Ctrl-C."""

import contextlib
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.chaos.processes import descendants, wait_until_gone
from tests.engine.orchestration.disks import fill, mounted
from tests.pipelines.test_sweep import N_TRIALS, ROOT, command, mlflow_runs, run, states, states_or_none
from tests.pipelines.test_sweep_faults import ended_well, started, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

IMPATIENT = """
import sys
import pipelines.sweep
from engine.orchestration.databases import patience
patience.LIMIT_S = 3.0
sys.exit(pipelines.sweep.command_line(sys.argv[1:]))
"""


def impatient(home: Path, *arguments: str) -> list[str]:
    """Return the command of a sweep that gives up after seconds."""
    python, _, _, *rest = command(home, *arguments)
    return [python, "-c", IMPATIENT, *rest]


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_a_database_that_is_locked_for_a_while_costs_nothing(tmp_path: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "output.txt"
    with started(command(home), output) as driver:
        wait_for(lambda: "COMPLETE" in states_or_none(home), "a trial")
        with locked(home / "optuna.db"):
            time.sleep(20)
            assert driver.poll() is None, output.read_text()
        ended_well(driver, output)
    assert len(states(home)) == N_TRIALS
    assert "Traceback" not in output.read_text()


def test_a_database_that_stays_locked_ends_the_sweep_with_a_sentence_and_the_answer_so_far(tmp_path: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "output.txt"
    with started(impatient(home, "--sampler", "random"), output) as driver:
        wait_for(lambda: states_or_none(home).count("COMPLETE") >= 4, "four trials")
        with locked(home / "optuna.db"):
            assert driver.wait(120) == 1, output.read_text()
    text = output.read_text()
    assert "Traceback" not in text
    assert "stopped: the study's database says: database is locked; " in text
    assert "the same command goes on from here" in text
    assert "push-pull − plain" in text, "the answer so far"
    assert len(text.splitlines()) < 60, text
    run(home, "--sampler", "random")
    assert len(states(home)) == N_TRIALS


def test_a_home_that_fills_up_ends_the_sweep_with_a_sentence(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    with mounted(tmp_path / "disk") as disk:
        home = disk / "home"
        words = impatient(home, "--store", str(tmp_path / "store"), "--sampler", "random")
        with started(words, output) as driver:
            wait_for(lambda: "COMPLETE" in states_or_none(home), "a trial")
            ballast = fill(disk)
            assert driver.wait(200) == 1, output.read_text()
        text = output.read_text()
        assert "Traceback" not in text
        assert any(
            said in text for said in ("database or disk is full", "No space left on device", "disk I/O error")
        ), text
        assert len(text.splitlines()) < 80, text
        ballast.unlink()
        run(home, "--store", str(tmp_path / "store"), "--sampler", "random")
        assert len(states(home)) == N_TRIALS


def test_sigterm_ends_a_sweep_as_ctrl_c_does(tmp_path: Path) -> None:
    """Whoever ends a job tells its whole group, Ray's processes and the tracking's among them."""
    home, output = tmp_path / "home", tmp_path / "output.txt"
    with started(command(home), output, start_new_session=True) as driver:
        wait_for(lambda: "COMPLETE" in states_or_none(home), "a trial")
        below = list(descendants(driver.pid))
        os.killpg(driver.pid, signal.SIGTERM)
        assert driver.wait(60) == 130, output.read_text()
    text = output.read_text()
    assert "stopped early: " in text
    assert text.index("stopping: trials under way end as interrupted") < text.index("stages run in"), (
        "it is said at once"
    )
    assert "tracking is behind" not in text
    assert "Traceback" not in text
    assert "RUNNING" not in states(home)
    assert {run.info.status for run in mlflow_runs(home)} <= {"FINISHED", "KILLED"}
    assert len(below) > 5
    assert wait_until_gone(below, 20) == []
    run(home)
    assert len(states(home)) == N_TRIALS


@pytest.mark.parametrize("is_first", [True, False], ids=["beside the checks", "after them"])
def test_sigterm_before_ray_is_up_ends_a_sweep_and_leaves_nothing(tmp_path: Path, is_first: bool) -> None:
    home, output = tmp_path / "home", tmp_path / "output.txt"
    if not is_first:  # of a folder that has studies Ray is started after the checks
        home.mkdir()
        optuna.create_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name="another")
    with started(command(home), output, start_new_session=True) as driver:
        wait_for(lambda: any("gcs_server" in process.title for process in descendants(driver.pid)), "the first of Ray")
        below = list(descendants(driver.pid))
        os.killpg(driver.pid, signal.SIGTERM)
        assert driver.wait(60) == 130, output.read_text()
    assert "Traceback" not in output.read_text(), output.read_text()
    assert wait_until_gone(below, 20) == []
    assert not {"RUNNING", "WAITING"} & set(states_or_none(home))


def test_a_terminal_that_closes_ends_a_sweep_as_ctrl_c_does(tmp_path: Path) -> None:
    home = tmp_path / "home"
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have it ignored
        os.chdir(ROOT)
        os.execv(sys.executable, command(home))
    drained = threading.Thread(target=drain, args=(terminal,), daemon=True)
    drained.start()
    try:
        wait_for(lambda: "COMPLETE" in states_or_none(home), "a trial")
        os.kill(pid, signal.SIGHUP)
        end = time.monotonic() + 120
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(ended[1]) == 130
    assert "RUNNING" not in states(home)
    run(home)
    assert len(states(home)) == N_TRIALS


def drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


def test_a_command_without_ray_that_is_told_to_end_says_so(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pipelines.trial", "--home", str(tmp_path), "--set", "pretrain.epochs=500"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(tmp_path.glob("store/**/checkpoint*")) or list(tmp_path.glob("store/*")), "its start")
        time.sleep(5)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "interrupted\n"
