"""What is used of Ray beyond its documented interface; a test holds each against the installed version."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.tune.search import Searcher

_MAX_PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
"""The variable by which Tune learns how many trials may wait for their processes at once."""
_EXPERIMENT_NOTES = "ray.tune.execution.experiment_state"
"""The logger that complains about the notes which Tune keeps of an experiment."""


@contextmanager
def on_loopback() -> Iterator[None]:
    """Have the Ray that is started listen on this machine's loopback alone.

    Ray does so by itself where it takes clusters for impossible (macOS, Windows), and by no option of ``ray.init``:
    elsewhere all its processes listen on every address of the machine. The variable that decides is read when Ray is
    imported, which may have been long ago.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def ask_head_node(address: str) -> None:
    """Return once a cluster's head node has answered.

    Args:
        address: "HOST:PORT".

    Raises:
        Exception: it does not within 45 s; ``ray.init`` would take minutes.
    """
    from ray import _raylet

    _raylet.GcsClient(address=address)  # type: ignore[attr-defined]  # compiled, without stubs


def searcher_state(searcher: Searcher) -> dict[str, Any]:
    """Return what Tune needs of a searcher that it pickles: what its constructor has set."""
    return {"_metric": searcher._metric, "_mode": searcher._mode}


@contextmanager
def many_pending_trials(n_trials: int) -> Iterator[None]:
    """Have Tune start up to so many trials at once: whoever gives them out says how many there may be."""
    before = os.environ.get(_MAX_PENDING)
    os.environ[_MAX_PENDING] = str(n_trials)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_MAX_PENDING]
        else:
            os.environ[_MAX_PENDING] = before


def silence_experiment_notes() -> None:
    """Have Tune not complain about its own notes of an experiment, which nobody reads."""
    logging.getLogger(_EXPERIMENT_NOTES).setLevel(logging.CRITICAL)
