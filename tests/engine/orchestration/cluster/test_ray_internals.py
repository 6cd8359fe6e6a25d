"""The contract with Ray's inner parts: each test fails where a new version of Ray has changed what is used of it."""

import inspect
import logging
import os
import re
import socket
from pathlib import Path

import pytest
import ray

from engine.orchestration.cluster import ray_internals
from engine.orchestration.cluster.ray_internals import (
    ask_head_node,
    many_pending_trials,
    on_loopback,
    searcher_state,
    silence_experiment_notes,
)

ENGINE = Path(ray_internals.__file__).parents[2]


def changed(what: str) -> str:
    """Return what to say of a part that is not as it was."""
    return f"Ray {ray.__version__} has changed {what}: mend {ray_internals.__name__}, which is written for 2.60"


def test_who_starts_on_the_loopback_is_decided_by_one_variable() -> None:
    from ray._private import ray_constants, services

    assert getattr(ray_constants, "ENABLE_RAY_CLUSTER", None) is True, changed("ray_constants.ENABLE_RAY_CLUSTER")
    with on_loopback():
        assert services.get_node_ip_address() == "127.0.0.1", changed("how a node's address is found")
    assert ray_constants.ENABLE_RAY_CLUSTER


def test_a_head_node_is_asked_by_its_address() -> None:
    from ray import _raylet

    client = getattr(_raylet, "GcsClient", None)
    assert client is not None, changed("_raylet.GcsClient")
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        client(address="127.0.0.1")  # without a port there is nobody to wait for


@pytest.mark.slow
def test_a_head_node_that_does_not_answer_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Exception, match=r"(?i)gcs|connect|rpc"):
        ask_head_node(f"127.0.0.1:{port}")


def test_a_searcher_s_state_is_all_that_its_constructor_sets() -> None:
    from ray.tune.search import Searcher

    searcher = Searcher("error", "min")
    assert searcher_state(searcher) == vars(searcher) == {"_metric": "error", "_mode": "min"}, changed("Searcher")


def test_tune_reads_how_many_trials_may_be_pending_while_it_runs(monkeypatch) -> None:
    from ray.tune.execution import tune_controller

    monkeypatch.delenv(ray_internals._MAX_PENDING, raising=False)
    read = f'os.getenv("{ray_internals._MAX_PENDING}"'
    assert read in inspect.getsource(tune_controller), changed("the variable for pending trials")
    with many_pending_trials(12):
        assert os.environ[ray_internals._MAX_PENDING] == "12"
    assert ray_internals._MAX_PENDING not in os.environ


def test_the_notes_of_an_experiment_complain_by_the_logger_that_is_silenced() -> None:
    from ray.tune.execution import experiment_state

    assert experiment_state.logger.name == ray_internals._EXPERIMENT_NOTES, changed("the logger of experiment_state")
    silence_experiment_notes()
    assert not experiment_state.logger.isEnabledFor(logging.ERROR)


def test_no_other_file_uses_what_is_private_of_ray() -> None:
    private = re.compile(r"\bray\._|\bfrom ray import _|_raylet|ray_constants|self\._metric\b|TUNE_MAX_PENDING")
    found = [
        f"{file.relative_to(ENGINE)}: {line.strip()}"
        for file in ENGINE.rglob("*.py")
        if file.name != "ray_internals.py"
        for line in file.read_text().splitlines()
        if private.search(line)
    ]
    assert found == []
