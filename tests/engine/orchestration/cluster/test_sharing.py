"""What sweeps on one cluster give each other, and how the queue gives it up."""

import asyncio
from typing import Any

import pytest

from engine.orchestration.cluster.sharing import Sharing
from engine.orchestration.cluster.stage_queue import StageQueue
from tests.engine.orchestration.cluster.test_stage_queue import FakeWorker, make_spec, settle, until_ended


def counts(workers: int, *, idle: int = 0, unplaced: int = 0) -> dict[str, int]:
    return {"workers": workers, "idle": idle, "unplaced": unplaced}


@pytest.mark.parametrize(
    ("own", "others", "gives"),
    [
        (counts(4), [], (0, 0)),
        (counts(4, idle=3), [counts(2)], (0, 0)),  # nobody waits for room
        (counts(4, idle=3), [counts(0, unplaced=2)], (2, 0)),
        (counts(4, idle=1), [counts(0, unplaced=4)], (1, 1)),  # the idle one now, and another when it comes free
        (counts(4), [counts(0, unplaced=4)], (0, 2)),
        (counts(4), [counts(2, unplaced=2)], (0, 1)),
        (counts(2), [counts(2, unplaced=2)], (0, 0)),
        (counts(3), [counts(2, unplaced=1), counts(1, unplaced=1)], (0, 1)),
        (counts(1), [counts(0, unplaced=1)], (0, 0)),  # half a slot each would be none
        (counts(0, unplaced=3), [counts(4, unplaced=1)], (0, 0)),
    ],
)
def test_what_is_given_back(own: dict[str, int], others: list[dict[str, int]], gives: tuple[int, int]) -> None:
    sharing = Sharing("own", lambda: others)
    sharing.to_give_back(own)
    assert sharing.to_give_back(own) == gives


def test_a_worker_that_is_idle_for_a_moment_is_kept() -> None:
    sharing = Sharing("own", lambda: [counts(2, unplaced=1)])
    assert sharing.to_give_back(counts(2, idle=1)) == (0, 0)
    assert sharing.to_give_back(counts(2)) == (0, 0)
    assert sharing.to_give_back(counts(2, idle=1)) == (0, 0)
    assert sharing.to_give_back(counts(2, idle=1)) == (1, 0)


def test_a_worker_in_excess_is_retired_when_its_stage_has_ended() -> None:
    async def scenario() -> None:
        queue = StageQueue(lambda key: None)
        workers = [FakeWorker(queue) for _ in range(2)]
        specs = [make_spec("pretrain", place=place) for place in range(3)]
        for place, worker in enumerate(workers):
            queue.add_worker(f"w{place}", worker)
        for spec in specs:
            await queue.submit("t", spec.to_json(), 0)
        await settle()
        assert queue.workers.retire(1) == []
        for worker in workers:
            worker.go.set()
        ends: list[dict[str, Any]] = [await until_ended(queue, "t", spec.key) for spec in specs]
        assert [end["state"] for end in ends] == ["done"] * 3
        (gone,) = queue.workers._retired
        assert set(queue.workers.names()) == {"w0", "w1"}, "who supplies workers does not add it again"
        assert queue.statistics()["workers"] == 1
        assert queue.workers.retire(0) == [gone]
        assert gone not in queue.workers.names()

    asyncio.run(asyncio.wait_for(scenario(), 20))
