"""The broker: the stage queue as an asynchronous Ray actor, which trials, workers and the driver talk to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.orchestration.cluster.stage_queue import StageQueue, WorkerLostError
from engine.stages.store import Store


class Broker:
    """The broker as an asynchronous Ray actor.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: str) -> None:
        self._store = Store(store)
        self._queue: StageQueue | None = None

    @property
    def queue(self) -> StageQueue:
        """Return the queue, made in the actor's event loop."""
        if self._queue is None:
            self._queue = StageQueue(self._manifest)
        return self._queue

    def _manifest(self, key: str) -> Mapping[str, Any] | None:
        artifact = self._store.find(key)
        return artifact.manifest if artifact is not None else None

    async def add_worker(self, name: str, actor: Any) -> None:
        """Take a stage worker's actor handle."""
        self.queue.add_worker(name, _RemoteWorker(actor))

    async def remove_worker(self, name: str) -> bool:
        """See ``StageQueue``."""
        return self.queue.remove_worker(name)

    async def worker_names(self) -> list[str]:
        """See ``StageQueue``."""
        return self.queue.worker_names()

    async def submit(self, trial: str, spec: Mapping[str, Any], depth: int, followers: Sequence[str] = ()) -> None:
        """See ``StageQueue``."""
        await self.queue.submit(trial, spec, depth, followers)

    async def follow(self, trial: str, key: str, after: int, timeout_s: float) -> dict[str, Any]:
        """See ``StageQueue``."""
        return await self.queue.follow(trial, key, after, timeout_s)

    async def report(self, key: str, record: Mapping[str, Any]) -> bool:
        """See ``StageQueue``."""
        return await self.queue.report(key, record)

    async def release(self, trial: str) -> None:
        """See ``StageQueue``."""
        self.queue.release(trial)

    async def forget(self, key: str) -> None:
        """See ``StageQueue``."""
        self.queue.forget(key)

    async def statistics(self) -> dict[str, Any]:
        """See ``StageQueue``."""
        return self.queue.statistics()


class _RemoteWorker:
    """A stage worker's actor as the broker sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def run(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError

        try:
            return await self._actor.run.remote(dict(spec))
        except OutOfMemoryError as error:
            raise WorkerLostError(_first_line(error), "out of memory") from error
        except ActorDiedError as error:
            raise WorkerLostError(_first_line(error), "preempted" if error.preempted else "died") from error
        except RayError as error:
            raise WorkerLostError(_first_line(error)) from error

    def kill(self) -> None:
        import ray

        ray.kill(self._actor, no_restart=False)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
