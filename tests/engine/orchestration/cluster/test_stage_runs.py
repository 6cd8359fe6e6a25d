"""What a queue makes of workers that are lost, are killed, run out of memory, or are unfit."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.cluster.stage_runs import MAX_LOSSES
from tests.engine.orchestration.cluster.queue_workers import (
    FakeWorker,
    killed_for_memory,
    lose,
    make_spec,
    preempt,
    settle,
    unfit,
    until_ended,
    with_queue,
)


def test_a_lost_worker_means_another_try() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [lose, lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        end = await until_ended(queue, spec.key)
        assert end["state"] == "done"
        assert [record["epoch"] for record in end["records"]] == [1, 2]
        assert len(workers[0].started) == 2
        assert queue.statistics()["lost_workers"] == 1

    with_queue(scenario)


def test_a_stage_that_kills_every_worker_fails_with_the_reason() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].outcome = lose
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        end = await until_ended(queue, spec.key)
        assert end["state"] == "failed"
        assert end["reason"] == f"worker lost {MAX_LOSSES} times: the actor died"
        assert len(workers[0].started) == MAX_LOSSES

    with_queue(scenario)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_worker_is_known_once_however_often_it_is_named(repeats: int) -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        for _ in range(repeats):
            queue.add_worker("w0", workers[0])
        assert queue.workers.names() == ["w0"]
        assert queue.statistics()["idle"] == 1

    with_queue(scenario)


def test_a_stage_that_does_not_stop_is_killed_after_the_grace() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get), grace_s=0.1)
        worker = FakeWorker(queue)
        queue.add_worker("w", worker)
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await settle()
        queue.release("t")
        await asyncio.sleep(0.3)
        assert worker.killed == 1

    asyncio.run(scenario())


def test_a_worker_whose_stage_stopped_as_asked_is_not_killed_at_its_next_one() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get), grace_s=0.1)
        worker = FakeWorker(queue)
        queue.add_worker("w", worker)
        unwanted, wanted = make_spec("unwanted"), make_spec("wanted")
        await queue.submit("t1", unwanted.to_json(), 0)
        await settle()
        queue.release("t1")
        worker.go.set()
        await settle()
        worker.go.clear()
        await queue.submit("t2", wanted.to_json(), 0)
        await asyncio.sleep(0.3)
        assert worker.started == [unwanted.key, wanted.key]
        assert worker.killed == 0

    asyncio.run(scenario())


def test_a_stage_that_is_wanted_again_within_the_grace_is_not_killed() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get), grace_s=0.1)
        worker = FakeWorker(queue)
        queue.add_worker("w", worker)
        spec = make_spec("pretrain")
        await queue.submit("t1", spec.to_json(), 0)
        await settle()
        queue.release("t1")
        await queue.submit("t2", spec.to_json(), 0)
        await asyncio.sleep(0.3)
        assert worker.killed == 0
        worker.go.set()
        assert (await until_ended(queue, spec.key))["state"] == "done"
        assert len(worker.started) == 1

    asyncio.run(scenario())


def test_preemptions_do_not_count_as_losses() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [preempt] * (MAX_LOSSES + 2) + [lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["state"] == "done"
        counts = queue.statistics()
        assert (counts["preempted"], counts["lost_workers"]) == (MAX_LOSSES + 2, 0)

    with_queue(scenario)


@pytest.mark.parametrize(
    "runs_out", [killed_for_memory, lambda: {"state": "failed", "reason": "CUDA out of memory", "out_of_memory": True}]
)
def test_out_of_memory_is_tried_once_more_with_the_machine_to_itself(runs_out: Callable[[], dict[str, Any]]) -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        large, small, later = make_spec("large"), make_spec("small"), make_spec("later")
        outcomes = [runs_out, lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        await queue.submit("t1", large.to_json(), 0)
        await queue.submit("t2", small.to_json(), 0)
        await settle()
        await queue.submit("t3", later.to_json(), 5)
        workers[0].go.set()
        await settle()
        assert queue.statistics()["running"] == 1, "it waits for the other worker, and so does everything else"
        workers[0].outcome = workers[1].outcome = lambda: {"state": "done", "seconds": 1.0}
        workers[1].go.set()
        ends = [await until_ended(queue, spec.key) for spec in (large, small, later)]
        assert [end["state"] for end in ends] == ["done"] * 3
        assert sum(worker.started.count(large.key) for worker in workers) == 2

    with_queue(scenario, n_workers=2)


def test_out_of_memory_twice_fails_with_the_reason_and_the_others_go_on() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        large, other = make_spec("large"), make_spec("other")
        outcomes = [killed_for_memory, killed_for_memory, lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await queue.submit("t1", large.to_json(), 0)
        await queue.submit("t2", other.to_json(), 0)
        end = await until_ended(queue, large.key)
        assert end["state"] == "failed"
        assert end["reason"] == "out of memory, with the machine to itself too: the node ran out of memory"
        assert (await until_ended(queue, other.key))["state"] == "done"

    with_queue(scenario)


def test_a_lost_worker_gets_no_stage_until_it_is_added_again() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get))
        worker = FakeWorker(queue)
        worker.outcome = lose
        worker.go.set()
        queue.add_worker("w", worker)
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await settle()
        assert queue.workers.names() == []
        assert (queue.statistics()["queued"], len(worker.started)) == (1, 1)
        worker.outcome = lambda: {"state": "done", "seconds": 1.0}
        queue.add_worker("w", worker)
        assert (await until_ended(queue, spec.key))["state"] == "done"

    asyncio.run(scenario())


def test_only_an_idle_worker_can_be_returned() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get))
        worker = FakeWorker(queue)
        queue.add_worker("w", worker)
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await settle()
        assert not queue.workers.remove_if_idle("w")
        worker.go.set()
        await until_ended(queue, spec.key)
        assert queue.workers.remove_if_idle("w")
        assert queue.workers.names() == []

    asyncio.run(scenario())


def test_losses_with_the_node_do_not_count() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [lose] * (MAX_LOSSES + 2) + [lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].node_is_gone = True
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["state"] == "done"
        await settle()
        counts = queue.statistics()
        assert (counts["preempted"], counts["lost_workers"]) == (MAX_LOSSES + 2, 0)

    with_queue(scenario)


def test_a_worker_that_turns_out_unfit_costs_the_stage_nothing() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [unfit] * (MAX_LOSSES + 2) + [lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["state"] == "done"
        assert queue.statistics()["lost_workers"] == 0

    with_queue(scenario)


def test_without_fit_workers_the_waiting_stages_fail_with_the_reason_and_the_running_ones_go_on() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        running, waiting = make_spec("running"), make_spec("waiting")
        await queue.submit("t1", running.to_json(), 0)
        await settle()
        await queue.submit("t2", waiting.to_json(), 0)
        await queue.refuse("no stage worker can start: the disk is read-only")
        end = await until_ended(queue, waiting.key)
        assert (end["state"], end["reason"]) == ("failed", "no stage worker can start: the disk is read-only")
        workers[0].go.set()
        assert (await until_ended(queue, running.key))["state"] == "done"
        queue.release("t2")
        await queue.submit("t3", waiting.to_json(), 0)
        assert (await until_ended(queue, waiting.key))["state"] == "done", "a new asker gets a new try"

    with_queue(scenario)
