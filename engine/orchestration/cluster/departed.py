"""Which holders of leases are known to be dead although this machine cannot look their processes up: Ray has lost them.

A node's id is drawn by Ray, so that those of two clusters never agree: a holder of another cluster, or of none, is not
known here, and his lease ends when it goes stale.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from engine.store.holders import Holder

_ASKED_AGAIN_S = 1.0
"""How old what Ray has said of its nodes may be."""


class Departed:
    """Keeps which processes are dead.

    Args:
        dead_nodes: returns the ids of the nodes that are gone for good.
    """

    def __init__(self, dead_nodes: Callable[[], Collection[str]]) -> None:
        self._dead_nodes = dead_nodes
        self._nodes: Collection[str] = ()
        self._asked = float("-inf")
        self._processes: set[tuple[Any, ...]] = set()

    def note(self, process: Mapping[str, Any]) -> None:
        """Note that a process has ended, as of ``Holder.process``; an empty one says nothing."""
        if process:
            self._processes.add(_identity(process))

    def knows(self, holder: Holder) -> bool:
        """Return whether a holder is known to be dead."""
        if _identity(holder.process) in self._processes:
            return True
        return bool(holder.node) and holder.node in self._gone()

    def _gone(self) -> Collection[str]:
        if time.monotonic() - self._asked > _ASKED_AGAIN_S:
            self._nodes, self._asked = self._dead_nodes(), time.monotonic()
        return self._nodes


def _identity(process: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(process[name] for name in ("host", "place", "pid", "born"))


def dead_nodes_of_ray() -> set[str]:
    """Return the ids of the nodes that Ray has lost."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
