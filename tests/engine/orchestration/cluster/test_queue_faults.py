"""What the queue does about memory that runs out, stages that would fail again, kills of its own, and late words."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from engine.orchestration.cluster import stage_queue
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.cluster.stage_runs import MAX_LOSSES
from engine.store.attempts import StoreFaultError
from tests.engine.orchestration.cluster.queue_workers import (
    FakeWorker,
    killed_for_memory,
    lose,
    make_spec,
    settle,
    until_ended,
    with_queue,
)


def machines(queue: StageQueue, *names: str) -> list[FakeWorker]:
    """Give a queue one worker for each name of a machine."""
    workers = [FakeWorker(queue) for _ in names]
    for number, (worker, name) in enumerate(zip(workers, names, strict=True)):
        queue.add_worker(f"w{number}", worker, name)
    return workers


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def done() -> dict[str, Any]:
    return {"state": "done", "seconds": 1.0}


def cuda_out_of_memory() -> dict[str, Any]:
    return {"state": "failed", "reason": "CUDA out of memory", "out_of_memory": True}


@pytest.mark.parametrize("runs_out", [killed_for_memory, cuda_out_of_memory])
def test_out_of_memory_drains_its_machine_and_no_other(runs_out) -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get))
        large, small, *others = [make_spec(name) for name in ("large", "small", "b", "c", "d", "e")]
        first, beside, elsewhere = machines(queue, "one", "one", "two")
        for number, spec in enumerate((large, small, *others)):
            await queue.submit(f"t{number}", spec.to_json(), 0)
        await settle()
        assert [worker.started for worker in (first, beside, elsewhere)] == [[large.key], [small.key], [others[0].key]]
        outcomes = [runs_out, done]
        first.outcome = lambda: outcomes.pop(0)()
        first.go.set()
        elsewhere.go.set()
        await settle()
        queue.add_worker("w0", first, "one")  # started anew, where its process was killed
        for number in range(2, 6):
            assert (await until_ended(queue, others[number - 2].key))["state"] == "done"
        assert elsewhere.started == [spec.key for spec in others], "the other machine goes on"
        assert queue.statistics()["running"] == 1, "the first one waits for the small stage to end"
        beside.go.set()
        assert (await until_ended(queue, large.key))["state"] == "done"
        assert sorted(first.started + beside.started) == sorted([large.key, small.key, large.key])

    run(scenario)


def test_nothing_else_is_started_beside_a_stage_that_has_its_machine_to_itself() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get))
        first, beside, elsewhere = machines(queue, "one", "one", "two")
        large, *others = [make_spec(name) for name in ("large", "b", "c")]
        first.outcome = cuda_out_of_memory
        first.go.set()
        await queue.submit("t0", large.to_json(), 0)
        await settle()
        assert first.started + beside.started == [large.key] * 2, "it is alone there"
        first.go.clear()
        beside.go.clear()
        for number, spec in enumerate(others):
            await queue.submit(f"t{number + 1}", spec.to_json(), 0)
        await settle()
        assert elsewhere.started == [others[0].key]
        assert len(first.started + beside.started) == 2

    run(scenario)


def test_a_stage_whose_machine_is_gone_gets_another_to_itself() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get))
        lost, left, right = machines(queue, "one", "two", "two")
        large, b, c, later = [make_spec(name) for name in ("large", "b", "c", "later")]
        lost.outcome = killed_for_memory
        for number, spec in enumerate((large, b, c)):
            await queue.submit(f"t{number}", spec.to_json(), 0)
        await settle()
        lost.go.set()
        await queue.submit("t3", later.to_json(), 9)
        await settle()
        left.go.set()
        await settle()
        assert left.started == [b.key], "it waits for the other one's stage"
        right.go.set()
        for spec in (large, b, c, later):
            assert (await until_ended(queue, spec.key))["state"] == "done"
        assert large.key in left.started + right.started

    run(scenario)


def test_two_stages_that_ran_out_of_memory_on_one_machine_have_it_one_after_the_other() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get))
        workers = machines(queue, "one", "one", "two")
        a, b = make_spec("a"), make_spec("b")
        for number, (worker, spec) in enumerate(zip(workers, (a, b), strict=False)):
            worker.outcome = cuda_out_of_memory
            await queue.submit(f"t{number}", spec.to_json(), 0)
        await settle()
        workers[0].go.set()
        await settle()
        for worker in workers:
            worker.outcome = done
        workers[1].outcome = cuda_out_of_memory
        workers[1].go.set()
        await settle()
        workers[1].outcome = done
        for spec in (a, b):
            await until_ended(queue, spec.key)
        assert workers[2].started == []

    run(scenario)


def test_a_failure_that_would_come_again_is_remembered() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].outcome = lambda: {"state": "failed", "reason": "pretrain: loss became nan", "lasting": True}
        workers[0].go.set()
        for trial in ("t1", "t2", "t3"):
            await queue.submit(trial, spec.to_json(), 0)
            end = await until_ended(queue, spec.key)
            assert (end["state"], end["reason"]) == ("failed", "pretrain: loss became nan")
            assert [record["epoch"] for record in end["records"]] == [1, 2]
            queue.forget(spec.key)  # a trial that misses an input has all of its stages forgotten
            queue.release(trial)
        assert len(workers[0].started) == 1
        assert queue.statistics()["shared"] == 0, "a failure saves nobody anything"

    with_queue(scenario)


def test_a_kill_of_its_own_is_no_loss_of_the_stage() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get), grace_s=0.05)
        (worker,) = machines(queue, "one")
        worker.outcome = lose
        spec = make_spec("pretrain")
        for number in range(MAX_LOSSES + 1):
            worker.go.clear()
            await queue.submit(f"t{number}", spec.to_json(), 0)
            await settle()
            queue.release(f"t{number}")
            while worker.killed == number:
                await asyncio.sleep(0.01)
            await queue.submit("again", spec.to_json(), 0)  # before the death is known
            worker.go.set()
            await settle()
            assert queue.statistics()["lost_workers"] == 0
            queue.release("again")
            queue.add_worker("w0", worker, "one")
        worker.outcome = done
        await queue.submit("last", spec.to_json(), 0)
        queue.add_worker("w0", worker, "one")
        assert (await until_ended(queue, spec.key))["state"] == "done"

    run(scenario)


class Deaf(FakeWorker):
    """A worker that comes to no epoch, so that it does not hear that nobody wants its stage, and dies."""

    async def run(self, spec: Mapping[str, Any], *, anyway: bool = False, **_: Any) -> dict[str, Any]:
        await self.go.wait()
        return lose()


@pytest.mark.parametrize("is_wanted_again", [True, False])
def test_a_stage_that_was_killed_for_nobody_is_noted_as_abandoned(is_wanted_again: bool) -> None:
    async def scenario() -> None:
        abandoned: list[str] = []
        queue = StageQueue(Lookout({}.get), abandon=abandoned.append, grace_s=0.05)
        worker = Deaf(queue)
        queue.add_worker("w", worker)
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await settle()
        queue.release("t")
        while not worker.killed:
            await asyncio.sleep(0.01)
        if is_wanted_again:
            await queue.submit("t2", spec.to_json(), 0)
        worker.go.set()
        await settle()
        assert abandoned == ([] if is_wanted_again else [spec.key])

    run(scenario)


def test_a_kill_that_meets_the_next_stage_is_no_loss_of_that_either() -> None:
    async def scenario() -> None:
        queue = StageQueue(Lookout({}.get), grace_s=0.05)
        (worker,) = machines(queue, "one")
        unwanted, wanted = make_spec("unwanted"), make_spec("wanted")
        await queue.submit("t1", unwanted.to_json(), 0)
        await settle()
        queue.release("t1")
        while not worker.killed:
            await asyncio.sleep(0.01)
        await queue.submit("t2", wanted.to_json(), 0)
        outcomes = [lose, done]
        worker.outcome = lambda: outcomes.pop(0)()
        worker.go.set()  # the unwanted stage has stopped as it was asked to, just before the kill comes
        await settle()
        assert worker.started == [unwanted.key, wanted.key]
        queue.add_worker("w0", worker, "one")
        assert (await until_ended(queue, wanted.key))["state"] == "done"
        assert queue.statistics()["lost_workers"] == 0

    run(scenario)


class SlowStore:
    """A store whose answer comes when the test lets it."""

    def __init__(self) -> None:
        self.asked, self.answers = threading.Event(), threading.Event()

    def find(self, key: str) -> None:
        self.asked.set()
        assert self.answers.wait(10)


@pytest.mark.parametrize("for_good", [True, False])
def test_a_trial_that_is_released_while_it_asks_wants_nothing(for_good: bool) -> None:
    async def scenario() -> None:
        store = SlowStore()
        queue = StageQueue(Lookout(store.find))
        (worker,) = machines(queue, "one")
        spec = make_spec("pretrain")
        asking = asyncio.create_task(queue.submit("t", spec.to_json(), 0))
        while not store.asked.is_set():
            await asyncio.sleep(0.01)
        queue.release("t", for_good=for_good)
        store.answers.set()
        assert await asking is False
        await settle()
        assert worker.started == [], "it would run for nobody"
        assert queue.statistics()["queued"] == 0

    run(scenario)


def test_what_a_trial_asks_for_after_its_end_is_not_heard() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        queue.release("t", for_good=True)
        assert not await queue.submit("t", spec.to_json(), 0)
        await settle()
        assert workers[0].started == []
        queue.release("t2")
        assert await queue.submit("t2", spec.to_json(), 0), "its process has died, and was started anew"

    with_queue(scenario)


def test_a_fault_of_the_broker_s_own_fails_the_stage_and_keeps_the_worker() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")

        def fault() -> dict[str, Any]:
            raise TypeError("it cannot be pickled")

        workers[0].outcome = fault
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        end = await until_ended(queue, spec.key)
        assert (end["state"], end["reason"]) == ("failed", "pretrain could not be run: TypeError: it cannot be pickled")
        assert queue.statistics()["idle"] == 1

    with_queue(scenario)


def failing(result: dict[str, Any], times: int) -> Callable[[], dict[str, Any]]:
    """Return an outcome that is a failure so many times, then done."""
    left = [result] * times
    return lambda: left.pop() if left else {"state": "done", "seconds": 1.0}


OUTAGE = {"state": "failed", "reason": "the bucket is away", "infrastructure": True, "passing": True}


@pytest.mark.parametrize(("times", "ends"), [(3, "done"), (4, "failed")])
def test_a_stage_that_store_or_network_refuse_is_tried_again_after_a_while(monkeypatch, times: int, ends: str) -> None:
    monkeypatch.setattr(stage_queue, "FAULT_PAUSES_S", (0.1, 0.2, 0.2))

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        workers[0].outcome = failing(OUTAGE, times)
        workers[0].go.set()
        refused, other = make_spec("refused"), make_spec("other")
        began = time.monotonic()
        await queue.submit("t", refused.to_json(), 0)
        end = await until_ended(queue, refused.key)
        assert (end["state"], end["infrastructure"]) == (ends, ends == "failed")
        assert time.monotonic() - began >= 0.5
        assert len(workers[0].started) == 4
        await queue.submit("t2", other.to_json(), 0)
        assert (await until_ended(queue, other.key))["state"] == "done"

    with_queue(scenario)


def test_a_stage_that_waits_to_be_tried_again_holds_no_worker(monkeypatch) -> None:
    monkeypatch.setattr(stage_queue, "FAULT_PAUSES_S", (30.0,))

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        workers[0].outcome = failing(OUTAGE, 1)
        workers[0].go.set()
        refused, other = make_spec("refused"), make_spec("other")
        await queue.submit("t", refused.to_json(), 0)
        await settle()
        await queue.submit("t2", other.to_json(), 0)
        assert (await until_ended(queue, other.key))["state"] == "done"
        assert queue.statistics()["queued"] == 1

    with_queue(scenario)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ({"state": "failed", "reason": "a fault of its own"}, False),
        ({"state": "failed", "reason": "loss became nan", "lasting": True}, False),
        ({"state": "failed", "reason": "input ff: not in the store", "missing": "ff", "infrastructure": True}, True),
        ({"state": "failed", "reason": "CUDA out of memory", "out_of_memory": True}, True),
    ],
)
def test_it_is_said_whether_a_stage_failed_or_its_machine(outcome: dict[str, Any], says: bool) -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        workers[0].outcome = lambda: outcome
        workers[0].go.set()
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["infrastructure"] is says

    with_queue(scenario)


def test_without_fit_workers_stages_fail_as_hopeless() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await queue.refuse("no stage worker can start")
        end = await until_ended(queue, spec.key)
        assert (end["state"], end["infrastructure"], end["hopeless"]) == ("failed", True, True)

    with_queue(scenario, n_workers=0)


@pytest.mark.parametrize("fault", [StoreFaultError("the service answers 503"), OSError(5, "Input/output error")])
def test_a_stage_that_the_broker_cannot_look_up_is_left_to_a_worker(fault: Exception) -> None:
    def find(key: str) -> None:
        raise fault

    async def scenario() -> None:
        queue = StageQueue(Lookout(find))
        (worker,) = machines(queue, "one")
        worker.outcome = lambda: {**done(), "from_store": True, "history": [{"epoch": 1}, {"epoch": 2}]}
        worker.go.set()
        spec = make_spec("pretrain")
        assert await queue.submit("t", spec.to_json(), 0)
        end = await until_ended(queue, spec.key)
        assert (end["state"], end["from_store"]) == ("done", True)
        assert queue.statistics()["from_store"] == 1

    run(scenario)
