"""Which waiting stages a queue starts first."""

from collections.abc import Mapping
from typing import Any

from engine.orchestration.cluster.stage_queue import StageQueue
from tests.engine.orchestration.cluster.queue_workers import (
    FakeWorker,
    make_pretraining,
    make_spec,
    settle,
    until_ended,
    with_queue,
)


async def order_of_starts(queue: StageQueue, worker: FakeWorker, wishes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of stages in the order in which one worker gets them; all are wanted while it is busy."""
    busy = make_spec("busy")
    await queue.submit("t-busy", busy.to_json(), 0)
    await settle()
    specs = {name: make_spec(name) for name in wishes}
    for name, wish in wishes.items():
        for trial in range(wish.get("trials", 1)):
            await queue.submit(f"t-{name}-{trial}", specs[name].to_json(), wish.get("depth", 0), wish.get("after", ()))
    worker.go.set()
    for spec in specs.values():
        await until_ended(queue, spec.key)
    names = {spec.key: name for name, spec in specs.items()}
    return [names[key] for key in worker.started[1:]]


def test_stages_that_unblock_most_work_go_first() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        wishes = {
            "last": {"depth": 3},
            "one-waits": {"after": ("evaluate",)},
            "two-wait": {"after": ("evaluate",), "trials": 2},
            "long-chain": {"after": ("rank", "finetune", "evaluate")},
        }
        started = await order_of_starts(queue, workers[0], wishes)
        assert started == ["long-chain", "two-wait", "one-waits", "last"]

    with_queue(scenario)


def test_the_work_is_measured_by_the_times_of_stages_that_ended() -> None:
    stored = {
        make_spec("slow").key: {"history": [], "seconds": 50.0},
        make_spec("fast").key: {"history": [], "seconds": 0.1},
    }

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        for name in ("slow", "fast"):
            await queue.submit("t", make_spec(name).to_json(), 0)
        wishes = {"many-fast": {"after": ("fast",) * 5}, "one-slow": {"after": ("slow",)}}
        assert await order_of_starts(queue, workers[0], wishes) == ["one-slow", "many-fast"]

    with_queue(scenario, stored=stored)


def test_equal_work_goes_by_depth_then_age() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        wishes: dict[str, dict[str, Any]] = {"first": {}, "second": {}, "deep": {"depth": 2}}
        assert await order_of_starts(queue, workers[0], wishes) == ["deep", "first", "second"]

    with_queue(scenario)


def test_a_training_waits_for_a_shorter_one_that_it_can_go_on_from() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        short, long, other = make_pretraining(2), make_pretraining(4), make_pretraining(4, schedule="one-cycle")
        await queue.submit("t1", short.to_json(), 0)
        await queue.submit("t2", long.to_json(), 0)
        await queue.submit("t3", other.to_json(), 0)
        await settle()
        assert [worker.started for worker in workers] == [[short.key], [other.key]]
        for worker in workers:
            worker.go.set()
        assert (await until_ended(queue, long.key))["state"] == "done"

    with_queue(scenario, n_workers=2)
