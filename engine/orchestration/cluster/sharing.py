"""Several sweeps on one cluster: what each gives back, so that no slot idles while another has a stage to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE

_ANSWER_S = 2.0


class Sharing:
    """Decides what a sweep's pool gives back for others.

    Args:
        own: the name of the sweep's broker.
        others: returns the counts of the other sweeps' brokers; None to ask Ray which there are.
    """

    def __init__(self, own: str, others: Callable[[], Iterable[Mapping[str, Any]]] | None = None) -> None:
        self._others = others or (lambda: _counts_of_others(own))
        self._was_idle = False

    def to_give_back(self, counts: Mapping[str, Any]) -> tuple[int, int]:
        """Return how many workers to give back of those that are idle, and how many more once they come free.

        What is idle for a moment only, between two stages, is kept: it must be so at two calls, a round apart.

        Args:
            counts: the own broker's, as of ``StageQueue.statistics``.
        """
        idle = counts["idle"]
        was_idle, self._was_idle = self._was_idle, idle > 0
        if counts["workers"] == 0:
            return 0, 0
        others = list(self._others())
        n_waiting = sum(other.get("unplaced", 0) for other in others)
        if not n_waiting:
            return 0, 0
        n_idle = min(idle, n_waiting) if was_idle else 0
        at_work = [other["workers"] for other in others if other["workers"] or other.get("unplaced", 0)]
        share = math.ceil((counts["workers"] + sum(at_work)) / (1 + len(at_work)))
        n_excess = max(0, min(n_waiting - n_idle, counts["workers"] - n_idle - share))
        return n_idle, n_excess


def _counts_of_others(own: str) -> list[Mapping[str, Any]]:
    """Return the counts of all brokers of the cluster but one; those that do not answer are left out."""
    import ray
    from ray.exceptions import RayError
    from ray.util import list_named_actors

    asked = []
    for name in list_named_actors():
        if name.startswith("broker-") and name != own:
            try:
                broker: Any = ray.get_actor(name, namespace=BROKER_NAMESPACE)
            except ValueError:  # it has ended in this moment
                continue
            asked.append(broker.statistics.options(max_task_retries=0).remote())
    found = []
    for one in ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_S)[0] if asked else ():
        try:
            found.append(ray.get(one))
        except RayError:
            continue
    return found
