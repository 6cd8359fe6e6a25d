"""Stages of the queue that another sweep computes: they hold no worker, can be given up, and come to an end."""

import asyncio
import errno
import time
from collections.abc import Mapping
from typing import Any

import pytest

from engine.orchestration.cluster import lookout, stage_queue
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.stages.spec import StageSpec
from engine.store.attempts import StoreFaultError
from tests.engine.orchestration.cluster.queue_workers import make_pretraining, make_spec, settle, until_ended


class OtherSweep:
    """What the store shows of another sweep, and the worker that finds it at work there."""

    def __init__(self, *held: StageSpec) -> None:
        self.held = {spec.key for spec in held}
        self.manifests: dict[str, Mapping[str, Any]] = {}
        self.epochs: dict[str, list[dict[str, Any]]] = {}
        self.started: list[tuple[str, bool]] = []
        self.unseen: set[str] = set()
        watched = Lookout(
            lambda key: None if key in self.unseen else self.manifests.get(key),
            look_anew=self.unseen.discard,
            begun=lambda key: self.epochs.get(key, []),
            held=lambda key: self.is_held(key),
        )
        self.queue = StageQueue(watched)
        self.queue.add_worker("w", self)

    def is_held(self, key: str) -> bool:
        return key in self.held

    def finish(self, spec: StageSpec, history: list[dict[str, Any]]) -> None:
        self.manifests[spec.key] = {"history": history, "seconds": 5.0}
        self.held.discard(spec.key)

    async def run(self, spec: Mapping[str, Any], *, anyway: bool = False, **_: Any) -> dict[str, Any]:
        key = StageSpec.from_json(spec).key
        self.started.append((key, anyway))
        await asyncio.sleep(0)
        return {"state": "elsewhere"} if key in self.held and not anyway else {"state": "done", "seconds": 1.0}

    async def lost_its_node(self) -> bool:
        return False

    def kill(self) -> None:
        raise AssertionError("nothing runs that could be killed")


class Refusals:
    """Raises an error so many times."""

    def __init__(self, error: Exception, n_times: int) -> None:
        self.error, self.n_left = error, n_times

    def next(self) -> None:
        if self.n_left:
            self.n_left -= 1
            raise self.error


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    monkeypatch.setattr(lookout, "POLL_S", (0.01, 0.02))


def epoch(number: int) -> dict[str, Any]:
    return {"epoch": number, "probe_error": 0.5}


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_wait_for_another_sweep_holds_no_worker() -> None:
    async def scenario() -> None:
        theirs, ours = make_spec("theirs"), make_spec("ours")
        other = OtherSweep(theirs)
        await other.queue.submit("t1", theirs.to_json(), 0)
        await settle()
        await other.queue.submit("t2", ours.to_json(), 0)
        assert (await until_ended(other.queue, ours.key))["state"] == "done"
        counts = other.queue.statistics()
        assert (counts["elsewhere"], counts["idle"], counts["running"], counts["queued"]) == (1, 1, 0, 0)
        assert len(other.started) == 2, "the worker is not asked again and again"

    run(scenario)


def test_the_other_sweep_s_epochs_are_passed_on_and_its_artifact_is_shared() -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t", theirs.to_json(), 0)
        await settle()
        other.epochs[theirs.key] = [epoch(1)]
        news = await other.queue.follow(theirs.key, 0, 10)
        assert (news["state"], news["records"]) == ("elsewhere", [epoch(1)])
        other.epochs[theirs.key] = [epoch(1), epoch(2)]
        assert (await other.queue.follow(theirs.key, 1, 10))["records"] == [epoch(2)]
        other.finish(theirs, [epoch(1), epoch(2), epoch(3)])
        end = await until_ended(other.queue, theirs.key)
        assert (end["state"], [record["epoch"] for record in end["records"]]) == ("done", [1, 2, 3])
        counts = other.queue.statistics()
        assert (counts["run"], counts["shared"], counts["saved_seconds"]) == (0, 1, 5.0)

    run(scenario)


def test_a_wait_ends_when_nobody_wants_the_stage() -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t", theirs.to_json(), 0)
        await settle()
        other.queue.release("t")
        assert other.queue.statistics()["elsewhere"] == 0
        assert (await other.queue.follow(theirs.key, 0, 0.01))["state"] == "unknown"
        other.held.clear()
        await asyncio.sleep(0.1)
        assert len(other.started) == 1
        await other.queue.submit("t2", theirs.to_json(), 0)
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"

    run(scenario)


def test_who_wants_it_again_waits_again() -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t1", theirs.to_json(), 0)
        await settle()
        other.queue.release("t1")
        await other.queue.submit("t2", theirs.to_json(), 0)
        await settle()
        assert other.queue.statistics()["elsewhere"] == 1
        other.finish(theirs, [])
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"
        assert other.queue.statistics()["done"] == 1

    run(scenario)


def test_what_the_other_sweep_leaves_is_queued_again() -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t", theirs.to_json(), 0)
        await settle()
        other.held.clear()
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"
        assert other.started == [(theirs.key, False)] * 2
        assert other.queue.statistics()["run"] == 1

    run(scenario)


def test_another_sweep_that_comes_to_no_epoch_is_not_waited_for_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(lookout, "MAX_WAIT_S", 0.3)

    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t", theirs.to_json(), 0)
        began = time.monotonic()
        for number in range(1, 4):  # as long as there are epochs, it is waited for
            await asyncio.sleep(0.2)
            other.epochs[theirs.key] = [epoch(one) for one in range(1, number + 1)]
            assert other.queue.statistics()["elsewhere"] == 1
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"
        assert time.monotonic() - began > 0.6 + 0.3
        assert other.started == [(theirs.key, False), (theirs.key, True)]

    run(scenario)


def test_a_training_waits_for_a_shorter_one_that_another_sweep_computes() -> None:
    async def scenario() -> None:
        short, long = make_pretraining(2), make_pretraining(4)
        other = OtherSweep(short)
        await other.queue.submit("t1", short.to_json(), 0)
        await settle()
        await other.queue.submit("t2", long.to_json(), 0)
        await settle()
        assert other.started == [(short.key, False)]
        other.finish(short, [])
        assert (await until_ended(other.queue, long.key))["state"] == "done"

    run(scenario)


def test_without_fit_workers_what_another_sweep_computes_is_waited_for_still() -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t", theirs.to_json(), 0)
        await settle()
        await other.queue.refuse("no stage worker can start")
        other.finish(theirs, [])
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"

    run(scenario)


def test_what_the_other_sweep_has_finished_is_not_taken_for_given_up_because_this_machine_remembers_none() -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        await other.queue.submit("t", theirs.to_json(), 0)
        await settle()
        other.unseen.add(theirs.key)
        other.finish(theirs, [epoch(1)])
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"
        assert len(other.started) == 1
        assert other.queue.statistics()["shared"] == 1

    run(scenario)


def test_a_lease_that_only_the_worker_s_machine_sees_is_not_asked_for_all_the_time(monkeypatch) -> None:
    monkeypatch.setattr(lookout, "POLL_S", (0.01, 0.2))

    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        monkeypatch.setattr(other, "is_held", lambda key: False)  # it remembers that there was none
        await other.queue.submit("t", theirs.to_json(), 0)
        await asyncio.sleep(1.0)
        assert 2 < len(other.started) < 14
        other.finish(theirs, [])
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"

    run(scenario)


@pytest.mark.parametrize(
    "fault", [StoreFaultError("the service answers 503"), OSError(errno.ESTALE, "Stale file handle")], ids=repr
)
def test_a_look_that_the_store_refuses_is_taken_again(monkeypatch, fault: Exception) -> None:
    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        refusals = Refusals(fault, 3)
        monkeypatch.setattr(other, "is_held", lambda key: refusals.next() or key in other.held)
        await other.queue.submit("t", theirs.to_json(), 0)
        while refusals.n_left:
            await asyncio.sleep(0.01)
        other.epochs[theirs.key] = [epoch(1)]
        assert (await other.queue.follow(theirs.key, 0, 5))["records"] == [epoch(1)]
        other.finish(theirs, [epoch(1), epoch(2)])
        assert (await until_ended(other.queue, theirs.key))["state"] == "done"
        assert len(other.started) == 1

    run(scenario)


def test_a_store_that_refuses_every_look_is_not_waited_for_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(lookout, "MAX_BLIND_S", 0.05)
    monkeypatch.setattr(stage_queue, "FAULT_PAUSES_S", (0.01, 0.01, 0.01))

    async def scenario() -> None:
        theirs = make_spec("theirs")
        other = OtherSweep(theirs)
        refusals = Refusals(StoreFaultError("the service answers 503"), 1_000_000)
        monkeypatch.setattr(other, "is_held", lambda key: refusals.next())
        await other.queue.submit("t", theirs.to_json(), 0)
        end = await until_ended(other.queue, theirs.key)
        assert (end["state"], end["infrastructure"]) == ("failed", True)
        assert end["reason"] == "theirs: StoreFaultError: the service answers 503"
        assert len(other.started) == 4, "a worker, which may see what the broker does not, was asked again"

    run(scenario)
