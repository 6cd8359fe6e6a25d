"""Workers of a stage queue that are coroutines, and what tests of a queue do with it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.cluster.wanted_stage import WorkerLostError
from engine.stages.spec import StageSpec


def make_spec(name: str, **settings: Any) -> StageSpec:
    return StageSpec(name, 1, settings, {}, "0" * 32, 0, {"device": "cpu"})


class FakeWorker:
    """A worker whose stages report two epochs and wait until the test lets them go on."""

    def __init__(self, queue: StageQueue) -> None:
        self.queue = queue
        self.started: list[str] = []
        self.go = asyncio.Event()
        self.killed = 0
        self.watch: str | None = None
        self.node_is_gone = False
        self.outcome: Callable[[], dict[str, Any]] = lambda: {"state": "done", "seconds": 2.0}

    def kill(self) -> None:
        self.killed += 1

    async def lost_its_node(self) -> bool:
        await asyncio.sleep(0.02)
        return self.node_is_gone

    async def run(self, spec: Mapping[str, Any], *, anyway: bool = False, **_: Any) -> dict[str, Any]:
        key = StageSpec.from_json(spec).key
        self.started.append(key)
        for epoch in (1, 2):
            wanted = await self.queue.report(key, {"epoch": epoch, "probe_error": 0.5, "watch": self.watch})
            if not wanted:
                return {"state": "cancelled"}
            if epoch == 1:
                await self.go.wait()
        return self.outcome()


async def supply(queue: StageQueue, workers: list[FakeWorker]) -> None:
    """Make the workers known, and again whenever one was lost, as the pool does."""
    while True:
        for number, worker in enumerate(workers):
            queue.add_worker(f"w{number}", worker)
        await asyncio.sleep(0.005)


def with_queue(
    scenario: Callable[[StageQueue, list[FakeWorker]], Awaitable[None]],
    *,
    n_workers: int = 1,
    stored: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    async def run() -> None:
        queue = StageQueue(Lookout((stored or {}).get))
        workers = [FakeWorker(queue) for _ in range(n_workers)]
        pool = asyncio.get_running_loop().create_task(supply(queue, workers))
        await asyncio.sleep(0)
        await asyncio.wait_for(scenario(queue, workers), 10)
        pool.cancel()

    asyncio.run(run())


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0.002)


async def until_ended(queue: StageQueue, key: str) -> dict[str, Any]:
    heard, records = 0, []
    while True:
        news = await queue.follow(key, heard, 5)
        records += news["records"]
        heard += len(news["records"])
        if news["state"] in ("done", "failed"):
            return {**news, "records": records}


def make_pretraining(epochs: int, **training: Any) -> StageSpec:
    return make_spec("pretrain", training={"epochs": epochs, "schedule": "constant", **training})


def lose() -> dict[str, Any]:
    raise WorkerLostError("the actor died")


def preempt() -> dict[str, Any]:
    raise WorkerLostError("the node was taken away", "preempted")


def killed_for_memory() -> dict[str, Any]:
    raise WorkerLostError("the node ran out of memory", "out of memory")


def unfit() -> dict[str, Any]:
    raise WorkerLostError("the disk is read-only", "unfit")
