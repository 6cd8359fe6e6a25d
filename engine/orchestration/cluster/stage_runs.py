"""Runs of stages on workers: how they end, which of them the broker ends itself, and which losses count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from engine.orchestration.cluster.wanted_stage import WantedStage, Worker, WorkerLostError
from engine.orchestration.cluster.worker_roster import WorkerRoster

MAX_LOSSES = 3
"""How often a stage's worker may die before the stage counts as failed; preempted nodes do not count."""


class StageRuns:
    """Runs stages on the workers of a roster.

    Args:
        workers: the workers; one that is lost is forgotten until it is added again.
        abandon: notes in the store that nobody wants a stage whose worker was killed.
        start: starts a coroutine beside what is under way.

    Attributes:
        n_preempted: how many workers were lost with their nodes.
    """

    def __init__(
        self,
        workers: WorkerRoster,
        abandon: Callable[[str], None],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task],
    ) -> None:
        self._workers = workers
        self._abandon = abandon
        self._start = start
        self._killed: set[str] = set()
        self.n_preempted = 0

    def kill(self, name: str) -> None:
        """End a worker's process: whatever it runs by then is not at fault."""
        worker = self._workers.get(name)
        if worker is not None:
            self._killed.add(name)
            worker.kill()

    async def run(self, stage: WantedStage, name: str, recent: Mapping[str, float]) -> Mapping[str, Any]:
        """Run a stage on a worker, and return how it ended; "lost" is one whose worker is.

        Args:
            stage: the stage.
            name: the worker's.
            recent: as of ``Worker.run``.
        """
        worker = self._workers[name]
        try:
            result = await worker.run(stage.spec.to_json(), anyway=stage.anyway, recent=recent, alone=stage.alone)
        except WorkerLostError as error:
            self._workers.forget(name)
            await self._take_loss(stage, name, worker, error)
            return {"state": "lost", "reason": str(error), "out_of_memory": error.kind == "out of memory"}
        except Exception as error:  # a fault of the broker's own must not leave the trials waiting
            reason = f"{stage.spec.stage} could not be run: {type(error).__name__}: {error}"
            result = {"state": "failed", "reason": reason}
        self._workers.free(name)
        return result

    async def _take_loss(self, stage: WantedStage, name: str, worker: Worker, error: WorkerLostError) -> None:
        if name in self._killed:  # by this broker, whatever its worker ran by then
            self._killed.discard(name)
            if not stage.askers:
                await asyncio.to_thread(self._abandon, stage.spec.key)
        elif error.kind == "died":
            await self._count_loss(stage, worker)
        elif error.kind == "preempted":
            self.n_preempted += 1

    async def _count_loss(self, stage: WantedStage, worker: Worker) -> None:
        """Count a loss against a stage until it is known that the node was lost, which is not the stage's fault.

        Meanwhile the stage goes on elsewhere; only before it fails for its losses, that is waited for.
        """
        stage.losses += 1
        stage.inquiries.append(self._start(self._take_back_loss(stage, worker)))
        if stage.losses >= MAX_LOSSES:
            await asyncio.gather(*stage.inquiries, return_exceptions=True)

    async def _take_back_loss(self, stage: WantedStage, worker: Worker) -> None:
        if await worker.lost_its_node():
            stage.losses -= 1
            self.n_preempted += 1
