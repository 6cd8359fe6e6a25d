"""The driver's side of broker and workers: it owns them, and keeps the broker supplied with workers."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from engine.orchestration.cluster.broker import Broker
from engine.orchestration.cluster.names import BROKER_NAMESPACE
from engine.orchestration.cluster.worker import StageWorker
from engine.orchestration.slots import SlotPlan

_CHECK_S = 2.0


class StagePool:
    """A broker and its stage workers.

    Args:
        name: the broker's name, unique on the cluster.
        store: the store's folder.
        data: the data set, as ``info_to_json`` has it.
        imports: the user's modules.
        slots: how many workers, and what each may use.
    """

    def __init__(
        self,
        *,
        name: str,
        store: str,
        data: Mapping[str, Any],
        imports: Sequence[str],
        slots: SlotPlan,
    ) -> None:
        self.name = name
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        broker = ray.remote(Broker).options(
            name=name,
            namespace=BROKER_NAMESPACE,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=2000,
            scheduling_strategy=here,
        )
        self.broker: Any = broker.remote(store)  # Ray's handles have their methods at run time
        worker = ray.remote(StageWorker).options(
            num_cpus=slots.cpus, num_gpus=slots.gpus, max_restarts=-1, max_task_retries=0
        )
        self._workers: dict[str, Any] = {
            f"worker-{number}": worker.remote(
                store=store,
                data=dict(data),
                broker=name,
                imports=list(imports),
                device=slots.device,
                threads=slots.cpus,
            )
            for number in range(slots.n_slots)
        }
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._supply, name="stage-pool", daemon=True)
        self._thread.start()

    def statistics(self) -> dict[str, Any]:
        """Return the broker's counts; empty while it cannot be reached."""
        try:
            return dict(ray.get(self.broker.statistics.remote(), timeout=5))
        except (RayError, TimeoutError):
            return {}

    def release(self, trial: str) -> None:
        """Forget what a trial wanted."""
        self.broker.release.remote(trial)

    def close(self) -> None:
        """End broker and workers."""
        self._closed.set()
        self._thread.join(15)
        for actor in [*self._workers.values(), self.broker]:
            ray.kill(actor)

    def _supply(self) -> None:
        """Make the workers known to the broker, and again whenever it was restarted."""
        while not self._closed.is_set():
            try:
                known = ray.get(self.broker.worker_names.remote(), timeout=10)
                for name, actor in self._workers.items():
                    if name not in known:
                        self.broker.add_worker.remote(name, actor)
            except (RayError, TimeoutError):
                pass
            self._closed.wait(_CHECK_S)
