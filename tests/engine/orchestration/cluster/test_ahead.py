"""Processes of a private Ray that import ahead what a stage worker does, as many as there are tickets."""

import contextlib
import os
import time
from pathlib import Path

from engine.orchestration.cluster import ahead
from engine.orchestration.cluster.ahead import PRELOADED, TICKETS, processes_ahead, take_ticket


def test_ray_has_a_process_import_ahead_before_there_is_a_worker(ray_session) -> None:
    """The contract with Ray: it starts processes by itself, and imports what its variable names in each of them."""
    import psutil  # Ray brings it along

    processes = psutil.Process(os.getpid()).children(recursive=True)
    (folder,) = {process.environ()[TICKETS] for process in processes if name_of(process) == "raylet"}
    end = time.monotonic() + 120
    while Path(folder).exists():
        assert time.monotonic() < end, "no process of Ray's has taken the ticket"
        time.sleep(0.05)


def name_of(process) -> str:
    """Return a process's name; "" of one that has ended meanwhile: Ray ends those that idle."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def test_each_ticket_is_taken_once_and_the_variables_are_gone_afterwards(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    before = dict(os.environ)
    with processes_ahead(2):
        folder = Path(os.environ[TICKETS])
        assert os.environ["PYTHONPATH"].endswith(f"{os.pathsep}/somewhere")
        assert os.environ[PRELOADED] == "engine.orchestration.cluster.ahead"
    assert dict(os.environ) == before
    assert [take_ticket(folder) for _ in range(3)] == [True, True, False]
    assert not folder.exists()


def test_an_environment_s_packages_do_not_come_before_the_standard_library(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setattr(ahead, "__file__", "/venv/lib/python3.11/site-packages/engine/orchestration/cluster/ahead.py")
    with processes_ahead(1):
        assert os.environ["PYTHONPATH"] == "/somewhere"


def test_a_person_s_own_modules_are_left_to_ray(monkeypatch) -> None:
    monkeypatch.setenv(PRELOADED, "numpy")
    before = dict(os.environ)
    with processes_ahead(2):
        assert dict(os.environ) == before
