"""The broker: the stage queue as an asynchronous Ray actor, which trials, workers and the driver talk to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine.orchestration.cluster.departed import Departed, dead_nodes_of_ray
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.cluster.stage_summary import summary_of
from engine.orchestration.cluster.wanted_stage import WorkerLostError
from engine.store.artifact import CorruptArtifactError
from engine.store.attempts import StoreFaultError
from engine.store.opening import open_store

_NODE_DEATH_S = 30.0
"""How long Ray may take to notice that a node is gone: it waits for five of its signs of life, 3 s apart."""


class Broker:
    """The broker as an asynchronous Ray actor.

    Args:
        store: the store's address; no artifact is written here.
    """

    def __init__(self, store: str) -> None:
        self._store = open_store(store, read_only=True, patient=True)
        self._departed = Departed(dead_nodes_of_ray)
        self._queue: StageQueue | None = None

    @property
    def queue(self) -> StageQueue:
        """Return the queue, made in the actor's event loop."""
        if self._queue is None:
            lookout = Lookout(
                self._summary,
                look_anew=self._store.look_anew,
                begun=self._store.checkpointed_history,
                held=self._is_held,
            )
            self._queue = StageQueue(lookout, abandon=self._store.abandon_checkpoints)
        return self._queue

    def _summary(self, key: str) -> Mapping[str, Any] | None:
        """Return what trials need of an artifact; None where it is not seen, or corrupt, and so put aside."""
        artifact = self._store.find(key)
        try:
            return None if artifact is None else summary_of(artifact)
        except CorruptArtifactError:
            with contextlib.suppress(StoreFaultError):
                self._store.quarantine(key)
            return None

    def _is_held(self, key: str) -> bool:
        """Return whether somebody alive computes a stage; a lease of the dead is ended."""
        lease = self._store.stage_holder(key)
        if lease is None or lease.holder is None or not self._departed.knows(lease.holder):
            return lease is not None
        with contextlib.suppress(OSError, StoreFaultError):
            self._store.end_stage_lease(key, lease.holder.token)
        return False

    async def add_worker(self, name: str, actor: Any, node: str, process: Mapping[str, Any] | None = None) -> None:
        """Take a stage worker's actor handle, the id of the node that it runs on, and its process."""
        self.queue.add_worker(name, _RemoteWorker(actor, node, process or {}, self._departed), node)

    async def remove_worker(self, name: str) -> bool:
        """See ``WorkerRoster``."""
        return self.queue.workers.remove_if_idle(name)

    async def retire(self, n_excess: int) -> list[str]:
        """See ``WorkerRoster``."""
        return self.queue.workers.retire(n_excess)

    async def note_unplaced(self, n_workers: int) -> None:
        """See ``WorkerRoster``."""
        self.queue.workers.n_unplaced = n_workers

    async def worker_names(self) -> list[str]:
        """See ``WorkerRoster``."""
        return self.queue.workers.names()

    async def refuse(self, reason: str) -> None:
        """See ``StageQueue``."""
        await self.queue.refuse(reason)

    async def submit(self, trial: str, spec: Mapping[str, Any], depth: int, followers: Sequence[str] = ()) -> bool:
        """See ``StageQueue``."""
        return await self.queue.submit(trial, spec, depth, followers)

    async def follow(self, key: str, after: int, timeout_s: float) -> dict[str, Any]:
        """See ``StageQueue``."""
        return await self.queue.follow(key, after, timeout_s)

    async def report(self, key: str, record: Mapping[str, Any]) -> bool:
        """See ``StageQueue``."""
        return await self.queue.report(key, record)

    async def release(self, trial: str, for_good: bool = False) -> None:
        """See ``StageQueue``."""
        self.queue.release(trial, for_good=for_good)

    async def forget(self, key: str) -> None:
        """See ``StageQueue``."""
        self.queue.forget(key)

    async def statistics(self) -> dict[str, Any]:
        """See ``StageQueue``."""
        return self.queue.statistics()


class _RemoteWorker:
    """A stage worker's actor as the broker sees it."""

    def __init__(self, actor: Any, node: str, process: Mapping[str, Any], departed: Departed) -> None:
        self._actor = actor
        self._node = node
        self._process = process
        self._departed = departed

    async def run(
        self, spec: Mapping[str, Any], *, anyway: bool = False, recent: Mapping[str, float], alone: bool = False
    ) -> dict[str, Any]:
        from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError

        try:
            result = await self._actor.run.remote(dict(spec), anyway, dict(recent), alone)
        except RayTaskError as error:  # it lives: its code has a fault that it does not report itself
            reason = f"the stage worker raised {type(error.cause).__name__}: {error.cause}"
            return {"state": "failed", "reason": reason}
        except OutOfMemoryError as error:
            self._departed.note(self._process)
            raise WorkerLostError(_first_line(error), "out of memory") from error
        except ActorDiedError as error:
            self._departed.note(self._process)
            raise WorkerLostError(_first_line(error), "preempted" if error.preempted else "died") from error
        except RayError as error:
            raise WorkerLostError(_first_line(error)) from error
        if result["state"] == "unfit":
            raise WorkerLostError(result["reason"], "unfit")
        if result.get("broken"):
            self.kill()
            raise WorkerLostError(result["reason"])
        return result

    async def lost_its_node(self) -> bool:
        """Return whether the worker's node is gone; Ray says so some seconds after it has lost the worker."""
        import ray

        if self._node == ray.get_runtime_context().get_node_id():
            return False  # this broker lives there
        end = time.monotonic() + _NODE_DEATH_S
        while time.monotonic() < end:
            nodes = await asyncio.to_thread(ray.nodes)
            if not any(node["NodeID"] == self._node and node["Alive"] for node in nodes):
                return True
            await asyncio.sleep(1)
        return False

    def kill(self) -> None:
        import ray

        ray.kill(self._actor, no_restart=False)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
