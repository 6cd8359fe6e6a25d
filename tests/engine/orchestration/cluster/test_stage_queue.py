"""What a stage queue shares, tells and forgets, with workers that are coroutines."""

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import pytest

from engine.orchestration.cluster.inspection import VISIBLE_S
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.stages.spec import StageSpec
from tests.engine.orchestration.cluster.queue_workers import (
    FakeWorker,
    make_spec,
    settle,
    until_ended,
    with_queue,
)


def test_eight_trials_that_want_one_stage_share_one_run() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        for trial in range(8):
            await queue.submit(f"t{trial}", spec.to_json(), 0)
        workers[0].go.set()
        ends = await asyncio.gather(*(until_ended(queue, spec.key) for _ in range(8)))
        assert [end["state"] for end in ends] == ["done"] * 8
        assert all([record["epoch"] for record in end["records"]] == [1, 2] for end in ends)
        assert not any(end["own"] for end in ends)
        assert sum(len(worker.started) for worker in workers) == 1
        counts = queue.statistics()
        assert (counts["run"], counts["shared"], counts["saved_seconds"]) == (1, 7, 14.0)

    with_queue(scenario, n_workers=2)


def test_short_epochs_are_heard_together_and_the_end_at_once(monkeypatch) -> None:
    monkeypatch.setattr("engine.orchestration.cluster.stage_queue.GATHER_S", 30.0)

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        following = asyncio.create_task(queue.follow(spec.key, 0, 5))
        await settle()
        assert not following.done(), "one epoch is there, and others may come soon"
        workers[0].go.set()
        news = await following  # long before 30 s: the stage has ended
        assert news["state"] == "done"
        assert [record["epoch"] for record in news["records"]] == [1, 2]

    with_queue(scenario)


def test_an_epoch_is_heard_while_the_next_one_takes_long(monkeypatch) -> None:
    monkeypatch.setattr("engine.orchestration.cluster.stage_queue.GATHER_S", 0.01)

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        news = await queue.follow(spec.key, 0, 5)
        assert news["state"] == "running"
        assert [record["epoch"] for record in news["records"]] == [1]

    with_queue(scenario)


def test_a_stored_stage_is_done_at_once_with_its_history() -> None:
    spec = make_spec("pretrain")
    manifest = {"history": [{"epoch": 1, "probe_error": 0.1}], "seconds": 3.0}

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        await queue.submit("t", spec.to_json(), 0)
        news = await queue.follow(spec.key, 0, 5)
        assert (news["state"], news["from_store"], news["records"]) == ("done", True, manifest["history"])
        assert workers[0].started == []
        assert queue.statistics()["from_store"] == 1

    with_queue(scenario, stored={spec.key: manifest})


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        ({}, {"run": 1, "run_seconds": 2.0, "shared": 1, "from_store": 0, "saved_seconds": 2.0}),
        ({"shared": True}, {"run": 0, "run_seconds": 0.0, "shared": 2, "from_store": 0, "saved_seconds": 4.0}),
        ({"from_store": True}, {"run": 0, "run_seconds": 0.0, "shared": 1, "from_store": 1, "saved_seconds": 4.0}),
    ],
)
def test_what_another_sweep_computed_meanwhile_is_not_counted_as_run(result, counts) -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        workers[0].outcome = lambda: {"state": "done", "seconds": 2.0, **result}
        workers[0].go.set()
        spec = make_spec("pretrain")
        for trial in ("t0", "t1"):
            await queue.submit(trial, spec.to_json(), 0)
        await until_ended(queue, spec.key)
        found = queue.statistics()
        assert {name: found[name] for name in counts} == counts

    with_queue(scenario)


def test_a_stage_that_nobody_wants_is_asked_to_stop() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await settle()
        queue.release("t")
        workers[0].go.set()
        await settle()
        assert (await queue.follow(spec.key, 0, 0.1))["state"] == "unknown"
        assert queue.statistics()["idle"] == 1

    with_queue(scenario)


def test_a_new_asker_during_the_stopping_gets_the_stage_again() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        worker = workers[0]
        stopping = asyncio.Event()
        real_run = worker.run

        async def slow_to_stop(spec_json: Mapping[str, Any], *, anyway: bool = False, **_: Any) -> dict[str, Any]:
            result = await real_run(spec_json)
            if result["state"] == "cancelled":
                stopping.set()
                await asyncio.sleep(0.05)
            return result

        worker.run = slow_to_stop  # type: ignore[method-assign]
        await queue.submit("t1", spec.to_json(), 0)
        await settle()
        queue.release("t1")
        worker.go.set()
        await stopping.wait()
        await queue.submit("t2", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["state"] == "done"
        assert len(worker.started) == 2

    with_queue(scenario)


def test_a_queued_stage_that_nobody_wants_never_starts() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        first, second = make_spec("a"), make_spec("b")
        await queue.submit("t1", first.to_json(), 0)
        await queue.submit("t2", second.to_json(), 0)
        queue.release("t2")
        workers[0].go.set()
        await until_ended(queue, first.key)
        await settle()
        assert workers[0].started == [first.key]

    with_queue(scenario)


def test_a_failure_is_told_and_a_later_asker_gets_a_new_try() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].outcome = lambda: {"state": "failed", "reason": "loss became nan"}
        workers[0].go.set()
        await queue.submit("t1", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["reason"] == "loss became nan"
        queue.release("t1")
        workers[0].outcome = lambda: {"state": "done", "seconds": 1.0}
        await queue.submit("t2", spec.to_json(), 0)
        assert (await until_ended(queue, spec.key))["state"] == "done"

    with_queue(scenario)


def test_a_forgotten_artifact_is_computed_again() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].go.set()
        await queue.submit("t", spec.to_json(), 0)
        await until_ended(queue, spec.key)
        queue.forget(spec.key)
        await queue.submit("t", spec.to_json(), 0)
        await until_ended(queue, spec.key)
        assert len(workers[0].started) == 2

    with_queue(scenario)


def test_a_report_for_a_stage_of_an_earlier_broker_lets_it_finish() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        assert await queue.report("f" * 32, {"epoch": 1})

    with_queue(scenario)


def test_a_slow_store_holds_nothing_else_up_and_loses_no_wish() -> None:
    def slow(key: str) -> None:
        time.sleep(0.3)

    async def scenario() -> None:
        queue = StageQueue(Lookout(slow))
        worker = FakeWorker(queue)
        worker.go.set()
        queue.add_worker("w", worker)
        spec = make_spec("pretrain")
        asked = [asyncio.create_task(queue.submit(f"t{trial}", spec.to_json(), 0)) for trial in range(3)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        queue.release("another")
        assert await queue.report("f" * 32, {"epoch": 1})
        assert time.monotonic() - began < 0.2
        await asyncio.gather(*asked)
        ends = [await until_ended(queue, spec.key) for _ in range(3)]
        assert [end["state"] for end in ends] == ["done"] * 3
        assert worker.started == [spec.key]

    asyncio.run(scenario())


def test_epochs_of_a_stage_that_was_begun_for_an_earlier_broker_are_told_in_order() -> None:
    async def scenario() -> None:
        begun = [{"epoch": epoch, "probe_error": 0.5} for epoch in (1, 2)]
        queue = StageQueue(Lookout({}.get, begun=lambda key: begun))
        spec = make_spec("pretrain")
        await queue.submit("t", spec.to_json(), 0)
        await queue.report(spec.key, {"epoch": 3, "probe_error": 0.5})  # its worker lives on
        news = await queue.follow(spec.key, 0, 5)
        assert (news["state"], [record["epoch"] for record in news["records"]]) == ("queued", [1, 2, 3])

    asyncio.run(scenario())


def test_two_probes_share_a_stage_and_each_hears_whose_values_they_are() -> None:
    """The stage is run with the first one's probe; whether a value is its own, a follower sees by the record."""

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        first, second = (
            dataclasses.replace(make_spec("pretrain"), watch={"probe": {"n_probe": n}}) for n in (100, 200)
        )
        assert first.key == second.key
        run = workers[0].run

        async def run_as_a_stage_does(
            spec_json: Mapping[str, Any], *, anyway: bool = False, **_: Any
        ) -> dict[str, Any]:
            workers[0].watch = StageSpec.from_json(spec_json).watch_digest
            return await run(spec_json)

        workers[0].run = run_as_a_stage_does  # type: ignore[method-assign]
        await queue.submit("t0", first.to_json(), 0)
        await queue.submit("t1", second.to_json(), 0)
        workers[0].go.set()
        ends = await asyncio.gather(*(until_ended(queue, first.key) for _ in range(2)))
        assert len(workers[0].started) == 1
        for end in ends:
            assert [record["watch"] for record in end["records"]] == [first.watch_digest] * 2

    with_queue(scenario)


def test_a_worker_is_told_which_inputs_its_machine_may_not_see_yet() -> None:
    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        first, unknown = make_spec("pretrain"), "f" * 32
        told: list[Mapping[str, float]] = []
        run = workers[0].run

        async def listening(spec_json: Mapping[str, Any], *, recent: Mapping[str, float], **_: Any) -> dict[str, Any]:
            told.append(recent)
            return await run(spec_json)

        workers[0].run = listening  # type: ignore[method-assign]
        workers[0].go.set()
        await queue.submit("t", first.to_json(), 0)
        await until_ended(queue, first.key)
        later = dataclasses.replace(first, stage="finetune", inputs={"network": first.key, "other": unknown})
        await queue.submit("t", later.to_json(), 1)
        await until_ended(queue, later.key)
        assert told[0] == {}
        assert set(told[1]) == {first.key, unknown}, "what an earlier broker knew may have just been done"
        assert all(VISIBLE_S - 5 < left_s <= VISIBLE_S for left_s in told[1].values())
        queue._stages[first.key].ended_at = queue._began = time.monotonic() - VISIBLE_S
        assert queue._recent([first.key, unknown]) == {}, "what is not seen by now was cleaned up"

    with_queue(scenario)


def test_who_follows_a_stage_hears_what_it_has_come_to() -> None:
    said = {"values": {"errors": {"objective": 0.25}}, "host": "far-away"}

    async def scenario(queue: StageQueue, workers: list[FakeWorker]) -> None:
        computed, stored = make_spec("pretrain"), make_spec("stored")
        workers[0].outcome = lambda: {"state": "done", "seconds": 2.0, **said}
        workers[0].go.set()
        for spec in (computed, stored):
            await queue.submit("t", spec.to_json(), 0)
            end = await until_ended(queue, spec.key)
            assert {name: end[name] for name in said} == said

    with_queue(scenario, stored={make_spec("stored").key: {"history": [], **said}})
