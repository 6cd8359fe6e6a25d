"""Asking every machine of a cluster what it says of itself, and whether it sees what this one left in the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.orchestration.cluster.inspection import NodeFacts, StoreMark, inspect_node, look_for_mark
from engine.orchestration.cluster.node_watch import Node, nodes_of_ray
from engine.redaction import hide_credentials

ANSWER_S = 90.0
"""How long a machine may take to answer: it starts a process that imports torch."""
_SIGHT_S = 45.0
"""How long the mark in the store is looked for."""
_SHARE_OF_GPU = 0.01
"""What is asked for of a GPU, to be shown one."""


@dataclass(frozen=True)
class NodeAnswer:
    """What a machine answered.

    Attributes:
        node: the machine, as Ray knows it.
        facts: what it says of itself; None where it did not.
        fault: why it did not, or why it cannot open the store; "" where all is well.
        seen_s: seconds until it saw the mark in the store; None if it never did.
        skew_s: how far its clock is ahead of this machine's, in seconds, as far as the answer's way lets that be known.
    """

    node: Node
    facts: NodeFacts | None = None
    fault: str = ""
    seen_s: float | None = None
    skew_s: float = 0.0


def survey_nodes(mark: StoreMark | None, store: str, imports: Sequence[str]) -> list[NodeAnswer]:
    """Return the answers of all machines that live.

    Args:
        mark: what lies in the store; None where nothing could be left there.
        store: the store's address.
        imports: the user's modules, which belong to the code.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look, asked_at = ray.remote(_look), time.time()
    asked = []
    for node in nodes_of_ray():
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        options = {"num_cpus": 0, "num_gpus": _SHARE_OF_GPU if node.gpus else 0, "max_retries": 0}
        task = look.options(**options, scheduling_strategy=here)
        asked.append((node, task.remote(None if mark is None else vars(mark), store, list(imports))))
    end = time.monotonic() + ANSWER_S
    return [_answer(node, answer, asked_at, end) for node, answer in asked]


def _answer(node: Node, answer: Any, asked_at: float, end: float) -> NodeAnswer:
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        found = ray.get(answer, timeout=max(1.0, end - time.monotonic()))
    except GetTimeoutError:
        busy = ", perhaps since its GPUs are all in use" if node.gpus else ""
        ray.cancel(answer, force=True)
        return NodeAnswer(node, fault=f"it does not answer within {ANSWER_S:.0f} s{busy}")
    except RayError as error:
        said = hide_credentials(" ".join(str(getattr(error, "cause", None) or error).split()))[-300:]
        return NodeAnswer(node, fault=f"it cannot be asked: {said}")
    facts = NodeFacts.from_json(found["facts"])
    skew_s = max(facts.clock_s - time.time(), min(0.0, facts.clock_s - asked_at))  # it looked in between
    return NodeAnswer(node, facts, found["fault"], found["seen_s"], skew_s)


def _look(mark: dict[str, Any] | None, store: str, imports: list[str]) -> dict[str, Any]:
    """Return what this machine says; it runs on each."""
    from engine.errors import InputError
    from engine.store import open_store

    fault, seen_s = "", None
    if mark is not None:
        try:
            seen_s = look_for_mark(open_store(store, read_only=True), StoreMark(**mark), timeout_s=_SIGHT_S)
        except (InputError, OSError) as error:
            fault = hide_credentials(str(error))
    facts = inspect_node([] if "://" in store else [store], imports=imports)
    return {"facts": facts.to_json(), "fault": fault, "seen_s": seen_s}
