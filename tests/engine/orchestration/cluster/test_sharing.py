"""What sweeps on one cluster give each other, and how the queue gives it up."""

import asyncio
import time
from typing import Any

import pytest

from engine.orchestration.cluster import stage_pool
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.sharing import Sharing
from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.cluster.stage_pool import StagePool
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.cluster.worker_roster import WorkerRoster
from tests.engine.orchestration.cluster.queue_workers import FakeWorker, make_spec, settle, until_ended


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
        queue = StageQueue(Lookout(lambda key: None))
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
        ends: list[dict[str, Any]] = [await until_ended(queue, spec.key) for spec in specs]
        assert [end["state"] for end in ends] == ["done"] * 3
        (gone,) = queue.workers._retired
        assert set(queue.workers.names()) == {"w0", "w1"}, "who supplies workers does not add it again"
        assert queue.statistics()["workers"] == 1
        assert queue.workers.retire(0) == [gone]
        assert gone not in queue.workers.names()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_worker_that_is_removed_when_it_was_just_retired_is_not_given_back_twice() -> None:
    roster = WorkerRoster()
    roster.add("w", FakeWorker(StageQueue(Lookout(lambda key: None))), "machine")
    roster.idle.remove("w")
    roster.retire(1)
    roster.free("w")
    assert roster.remove_if_idle("w")
    assert roster.retire(0) == []
    assert roster.names() == []


def test_who_supplies_workers_goes_on_after_a_fault_and_says_it_once(monkeypatch) -> None:
    rounds, said = [], []

    def look(watch: object) -> None:
        rounds.append(watch)
        if len(rounds) < 4:
            raise KeyError("worker-7")

    monkeypatch.setattr(stage_pool, "_CHECK_S", 0.01)
    monkeypatch.setattr(stage_pool, "start_broker", lambda name, store: None)
    monkeypatch.setattr(stage_pool.NodeWatch, "look", look)
    for step in ("_introduce_workers", "_note_unplaced", "_resize"):
        monkeypatch.setattr(StagePool, step, lambda pool: None)
    slots = SlotPlan(1, 1, 0.0)
    pool = StagePool(name="b", store="s", data={}, imports=(), slots=slots, elastic=True, say=said.append)
    try:
        end = time.monotonic() + 10
        while len(rounds) < 6 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        pool._closed.set()
        pool._thread.join(10)
    assert len(rounds) >= 6
    assert said == ["the supply of stage workers failed, and is tried again every second: KeyError: 'worker-7'"]


def test_a_worker_that_is_dropped_twice_is_no_fault() -> None:
    pool = object.__new__(StagePool)
    for kept in ("placed", "ready", "faults", "lost_since", "anew_at", "processes", "workers"):
        setattr(pool, f"_{kept}", {})
    pool._drop_worker("worker-0")
