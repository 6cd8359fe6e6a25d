"""A private Ray that is begun before the input is checked: when it is, and that nothing of it stays."""

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # Ray brings it along
import pytest

from engine.errors import InputError
from engine.orchestration import machines, sweep
from engine.orchestration.cluster import connection
from engine.orchestration.machines import begin_private_ray
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.report.terminal import make_console
from engine.spaces import Arm, Space

ROOT = Path(__file__).parents[3]


@pytest.fixture
def begun(monkeypatch) -> list[tuple[int, int]]:
    """Return the trial seats and workers of every Ray that is begun; none is."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(connection, "PrivateRay", lambda seats, workers: found.append((seats, workers)))
    return found


def test_it_is_begun_for_the_first_study_of_a_folder(begun, tmp_path) -> None:
    begin_private_ray(SweepOptions(home=tmp_path / "new", slots=1, gpus_per_slot=0.0))
    assert begun == [(2, 1)]
    begin_private_ray(SweepOptions(home=tmp_path / "new", slots=1, gpus_per_slot=0.0, trials_in_flight=5))
    assert begun[1:] == [(5, 1)]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "asked",
    [
        {"dry_run": True},
        {"list": "spaces"},
        {"ray_address": "127.0.0.1:1"},
        {"storage": "sqlite:////tmp/elsewhere.db"},
        {"slots": 10_000},
        {"n_trials": -1},
    ],
    ids=str,
)
def test_it_is_not_begun_where_it_may_not_be_needed(begun, tmp_path, asked) -> None:
    begin_private_ray(SweepOptions(home=tmp_path, gpus_per_slot=0.0, **asked))
    assert begun == []


def test_it_is_not_begun_where_there_are_studies(begun, tmp_path) -> None:
    (tmp_path / "optuna.db").touch()
    begin_private_ray(SweepOptions(home=tmp_path, gpus_per_slot=0.0))
    assert begun == []


def test_what_ray_says_goes_to_the_log_also_where_checks_are_done_before_it_is_up(monkeypatch, tmp_path) -> None:
    ray = pytest.importorskip("ray")
    begins, may_end = threading.Event(), threading.Event()

    def start(*_: object, **__: object) -> None:
        begins.set()
        assert may_end.wait(60)

    monkeypatch.setattr(connection, "_start_private", start)
    monkeypatch.setattr(connection, "_connected", ExitStack())
    monkeypatch.setattr(connection, "catch_signals", lambda: None)
    monkeypatch.setattr(connection, "nodes_of_ray", lambda: [SimpleNamespace(cpus=1.0, gpus=0.0)])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
    before = logging.getLogger("ray").handlers
    private = connection.PrivateRay(2, 0)
    wait = private.wait
    monkeypatch.setattr(private, "wait", lambda: (may_end.set(), wait()))
    try:
        assert begins.wait(60)
        connection.connect(None, log=tmp_path / "ray.log", begun=private)
        logging.getLogger("ray").error("a node is lost")
    finally:
        may_end.set()
        connection._connected.close()
    assert "a node is lost" in (tmp_path / "ray.log").read_text()
    assert logging.getLogger("ray").handlers is before, "all is as it was"


def test_one_that_nobody_waits_for_ends_and_leaves_all_as_before(monkeypatch) -> None:
    pytest.importorskip("ray")
    may_be_up, ended = threading.Event(), []
    before, variables = set(threading.enumerate()), dict(os.environ)
    monkeypatch.setattr(connection, "_start_private", lambda *_, **__: may_be_up.wait(60))
    monkeypatch.setattr(connection, "_connected", ExitStack())
    monkeypatch.setattr("ray.shutdown", lambda: ended.append(may_be_up.is_set()))
    private = connection.PrivateRay(2, 0)
    assert os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] == "1"
    threading.Timer(0.1, may_be_up.set).start()
    private.give_up()
    assert ended == [True], "whoever ends a Ray that is not up yet may end this process with it"
    assert dict(os.environ) == variables
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


class Refused:
    """A sweep of a new study whose database cannot be opened."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, begun: Any = None) -> None:
        self.begun: list[str] = []
        ray = SimpleNamespace(give_up=lambda: self.begun.append("given up"))
        monkeypatch.setattr(machines, "begin_private_ray", lambda options: (self.begun.append("begun"), ray)[1])
        monkeypatch.setattr(sweep, "open_study", self.refuse)
        options = SweepOptions(home=home, gpus_per_slot=0.0, n_trials=1)
        space = Space(name="one", arms=(Arm("plain", {}),), n_seeds=1)
        self.sweep = sweep.Sweep(prepare(options, space), make_console(), begun)

    def refuse(self, *_: object, **__: object) -> None:
        raise InputError("no database")


def test_a_program_that_goes_on_is_left_without_it(tmp_path, monkeypatch) -> None:
    refused = Refused(tmp_path, monkeypatch)
    with pytest.raises(InputError, match="no database"):
        refused.sweep.run()
    assert refused.begun == ["begun", "given up"]


def test_one_that_the_command_has_begun_ends_with_it(tmp_path, monkeypatch) -> None:
    refused = Refused(tmp_path, monkeypatch, begun=SimpleNamespace())
    with pytest.raises(InputError, match="no database"):
        refused.sweep.run()
    assert refused.begun == []


def test_what_ray_says_before_it_is_wanted_does_not_reach_the_terminal(monkeypatch, capfd) -> None:
    pytest.importorskip("ray")
    is_up = threading.Event()
    monkeypatch.setattr(connection, "_start_private", lambda *_, **__: is_up.set())
    monkeypatch.setattr(connection, "_connected", ExitStack())
    before = logging.getLogger("ray").handlers
    private = connection.PrivateRay(2, 0)
    try:
        assert is_up.wait(60)
        assert private._is_done.wait(60)
        logging.getLogger("ray").error("a worker was lost")
        private.wait()
    finally:
        connection._connected.close()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("ray").handlers is before, "all is as it was"


@pytest.mark.slow
def test_nothing_of_it_stays_where_the_input_is_wrong(tmp_path) -> None:
    command = [sys.executable, "-m", "pipelines.sweep", "--home", "home", "--gpus-per-slot", "0"]
    command += ["--baseline", "arm:no-such-arm"]  # it is among the last that is checked
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    seen: dict[int, psutil.Process] = {}
    while running.poll() is None:
        try:
            seen |= {child.pid: child for child in psutil.Process(running.pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    said, error = running.communicate()
    assert running.returncode == 2
    assert said == ""
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert seen, "Ray was begun"
    _, alive = psutil.wait_procs(list(seen.values()), timeout=30)
    assert alive == []
    assert not list((tmp_path / "home").rglob("*.log"))
