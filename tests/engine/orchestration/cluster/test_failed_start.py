"""What is said where a private Ray does not start: the folder is blamed where it is at fault, else what is found."""

import errno
import inspect
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.orchestration.cluster import failed_start
from engine.orchestration.cluster.failed_start import why_not_started

FOLDER = Path("/tmp/ray")
LATE = (
    Exception("The current node timed out during startup. This could happen because"),
    TimeoutError("Timed out after 30 s"),
)


@pytest.fixture(autouse=True)
def _roomy(monkeypatch) -> None:
    monkeypatch.setattr(failed_start, "memory_gb", lambda: (8.0, 3.0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**10))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.14, 0.0, 0.0))


def test_ray_says_so_where_it_has_waited_in_vain() -> None:
    from ray._private import node, services

    said = {"The current node timed out during startup": node, "while waiting for node to startup": services}
    assert all(words in inspect.getsource(module) for words, module in said.items())


@pytest.mark.parametrize("error", LATE)
def test_where_it_takes_too_long_it_is_said_what_the_machine_has_to_do(error, monkeypatch) -> None:
    said = why_not_started(error, FOLDER)
    assert (
        "; 0.1 processes want to run on 2 cores, 3.0 GB of memory are free, and what its processes said is in " in said
    )
    monkeypatch.setattr(os, "getloadavg", lambda: (19.2, 0.0, 0.0))
    said = why_not_started(error, FOLDER)
    assert "; 19.2 processes" in said
    assert said.endswith(
        " want to run on 2 cores, 3.0 GB of memory are free: start again once the machine has less to do"
    )
    assert "RAY_TMPDIR" not in said


def test_its_folder_is_blamed_where_it_is_at_fault(monkeypatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    for error in (full, OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x")):
        assert f"; its files are in {FOLDER}: RAY_TMPDIR names another folder for them" in why_not_started(
            error, FOLDER
        )
    broken = RuntimeError("it is broken.\nand more")
    assert (
        why_not_started(broken, FOLDER) == f"it is broken; what its processes said is in {FOLDER}/session_latest/logs"
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    said = why_not_started(broken, FOLDER)
    assert said.startswith(f"it is broken; its files are in {FOLDER}, whose disk has 1e-06 GB free: RAY_TMPDIR names")
