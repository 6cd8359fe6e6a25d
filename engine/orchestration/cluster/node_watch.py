"""The nodes of a cluster as a sweep sees them: which have come and gone, which are not fit, what is said of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.orchestration.cluster.slots import counted


@dataclass(frozen=True)
class Node:
    """A node that lives.

    Attributes:
        id: Ray's.
        name: how people know it: its host's name and address.
        cpus: cores that it offers.
        gpus: GPUs that it offers.
    """

    id: str
    name: str
    cpus: float
    gpus: float

    def has_room(self, cpus: float, gpus: float) -> bool:
        """Return whether a slot fits that has it to itself."""
        return self.cpus >= cpus and self.gpus >= gpus - 1e-9


class NodeWatch:
    """Keeps which nodes there are, and says once what changes.

    Args:
        nodes: returns the nodes that live.
        say: tells a person.
        cpus: cores of a slot.
        gpus: GPUs of a slot.

    Attributes:
        n_lost: how many nodes were lost so far.
        unfit: {id of a node that can run no stage: why}.
    """

    def __init__(
        self, nodes: Callable[[], Iterable[Node]], say: Callable[[str], None], *, cpus: float, gpus: float
    ) -> None:
        self._ask = nodes
        self._say = say
        self._slot = (cpus, gpus)
        self._nodes: dict[str, Node] | None = None
        self._said: set[str] = set()
        self.n_lost = 0
        self.unfit: dict[str, str] = {}

    def look(self) -> None:
        """Look which nodes live, and say which have come or were lost since the last look."""
        now = {node.id: node for node in self._ask()}
        before, self._nodes = self._nodes, now
        if before is None:
            return
        for node in before.values():
            if node.id not in now and node.has_room(*self._slot):
                self.n_lost += 1
                self._say(f"lost {node.name}: what it computed goes on elsewhere from its last epoch")
        for node in now.values():
            if node.id not in before and node.has_room(*self._slot):
                self._say(f"{node.name} has come: {counted(node.cpus, 'core')}, {counted(node.gpus, 'GPU')}")

    def refuse(self, node: str, reason: str) -> None:
        """Note that a node can run no stage; the reason is said once, however many workers find it."""
        self.unfit[node] = reason
        if reason not in self._said:
            self._said.add(reason)
            self._say(f"not used: {reason}")

    @property
    def n_fit(self) -> int:
        """Return how many nodes live that have room for a slot and are not known to be unfit."""
        nodes = (self._nodes or {}).values()
        return sum(node.has_room(*self._slot) and node.id not in self.unfit for node in nodes)

    @property
    def hopeless(self) -> str:
        """Return why no stage can be run on any node that there is; "" where one is fit, or none has come yet."""
        known = [node for node in (self._nodes or {}) if node in self.unfit]
        return self.unfit[known[0]] if known and not self.n_fit else ""


def nodes_of_ray() -> list[Node]:
    """Return the nodes that Ray says live."""
    import ray

    return [_node(node) for node in ray.nodes() if node["Alive"]]


def _node(found: Mapping[str, Any]) -> Node:
    host, address = found.get("NodeManagerHostname", ""), found["NodeManagerAddress"]
    offered = found["Resources"]
    return Node(found["NodeID"], f"{host} ({address})", offered.get("CPU", 0.0), offered.get("GPU", 0.0))
