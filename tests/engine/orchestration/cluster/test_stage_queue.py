"""The decisions of the stage queue, with workers that are coroutines."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from engine.orchestration.cluster.inspection import VISIBLE_S
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.cluster.stage_runs import MAX_LOSSES
from engine.orchestration.cluster.wanted_stage import WorkerLostError
from engine.stages.spec import StageSpec


def make_spec(name: str, **settings: Any) -> StageSpec:
    return StageSpec(name, 1, settings, {}, "0" * 32, 0, {"device": "cpu"})


class FakeWorker:
    """A worker whose stages report two epochs and wait until the test lets them go on."""

    def __init__(self, core: StageQueue) -> None:
        self.core = core
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
            wanted = await self.core.report(key, {"epoch": epoch, "probe_error": 0.5, "watch": self.watch})
            if not wanted:
                return {"state": "cancelled"}
            if epoch == 1:
                await self.go.wait()
        return self.outcome()


async def supply(core: StageQueue, workers: list[FakeWorker]) -> None:
    """Make the workers known, and again whenever one was lost, as the pool does."""
    while True:
        for number, worker in enumerate(workers):
            core.add_worker(f"w{number}", worker)
        await asyncio.sleep(0.005)


def with_broker(
    scenario: Callable[[StageQueue, list[FakeWorker]], Awaitable[None]],
    *,
    n_workers: int = 1,
    stored: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    async def run() -> None:
        core = StageQueue((stored or {}).get)
        workers = [FakeWorker(core) for _ in range(n_workers)]
        pool = asyncio.get_running_loop().create_task(supply(core, workers))
        await asyncio.sleep(0)
        await asyncio.wait_for(scenario(core, workers), 10)
        pool.cancel()

    asyncio.run(run())


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0.002)


async def until_ended(core: StageQueue, trial: str, key: str) -> dict[str, Any]:
    heard, records = 0, []
    while True:
        news = await core.follow(trial, key, heard, 5)
        records += news["records"]
        heard += len(news["records"])
        if news["state"] in ("done", "failed"):
            return {**news, "records": records}


def test_eight_trials_that_want_one_stage_share_one_run() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        for trial in range(8):
            await core.submit(f"t{trial}", spec.to_json(), 0)
        workers[0].go.set()
        ends = await asyncio.gather(*(until_ended(core, f"t{trial}", spec.key) for trial in range(8)))
        assert [end["state"] for end in ends] == ["done"] * 8
        assert all([record["epoch"] for record in end["records"]] == [1, 2] for end in ends)
        assert not any(end["own"] for end in ends)
        assert sum(len(worker.started) for worker in workers) == 1
        counts = core.statistics()
        assert (counts["run"], counts["shared"], counts["saved_seconds"]) == (1, 7, 14.0)

    with_broker(scenario, n_workers=2)


def test_short_epochs_are_heard_together_and_the_end_at_once(monkeypatch) -> None:
    monkeypatch.setattr("engine.orchestration.cluster.stage_queue.GATHER_S", 30.0)

    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        following = asyncio.create_task(core.follow("t", spec.key, 0, 5))
        await settle()
        assert not following.done(), "one epoch is there, and others may come soon"
        workers[0].go.set()
        news = await following  # long before 30 s: the stage has ended
        assert news["state"] == "done"
        assert [record["epoch"] for record in news["records"]] == [1, 2]

    with_broker(scenario)


def test_an_epoch_is_heard_while_the_next_one_takes_long(monkeypatch) -> None:
    monkeypatch.setattr("engine.orchestration.cluster.stage_queue.GATHER_S", 0.01)

    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        news = await core.follow("t", spec.key, 0, 5)
        assert news["state"] == "running"
        assert [record["epoch"] for record in news["records"]] == [1]

    with_broker(scenario)


def test_a_stored_stage_is_done_at_once_with_its_history() -> None:
    spec = make_spec("pretrain")
    manifest = {"history": [{"epoch": 1, "probe_error": 0.1}], "seconds": 3.0}

    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        await core.submit("t", spec.to_json(), 0)
        news = await core.follow("t", spec.key, 0, 5)
        assert (news["state"], news["from_store"], news["records"]) == ("done", True, manifest["history"])
        assert workers[0].started == []
        assert core.statistics()["from_store"] == 1

    with_broker(scenario, stored={spec.key: manifest})


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        ({}, {"run": 1, "run_seconds": 2.0, "shared": 1, "from_store": 0, "saved_seconds": 2.0}),
        ({"shared": True}, {"run": 0, "run_seconds": 0.0, "shared": 2, "from_store": 0, "saved_seconds": 4.0}),
        ({"from_store": True}, {"run": 0, "run_seconds": 0.0, "shared": 1, "from_store": 1, "saved_seconds": 4.0}),
    ],
)
def test_what_another_sweep_computed_meanwhile_is_not_counted_as_run(result, counts) -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        workers[0].outcome = lambda: {"state": "done", "seconds": 2.0, **result}
        workers[0].go.set()
        spec = make_spec("pretrain")
        for trial in ("t0", "t1"):
            await core.submit(trial, spec.to_json(), 0)
        await until_ended(core, "t0", spec.key)
        found = core.statistics()
        assert {name: found[name] for name in counts} == counts

    with_broker(scenario)


def test_a_stage_that_nobody_wants_is_asked_to_stop() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        await settle()
        core.release("t")
        workers[0].go.set()
        await settle()
        assert (await core.follow("t", spec.key, 0, 0.1))["state"] == "unknown"
        assert core.statistics()["idle"] == 1

    with_broker(scenario)


def test_a_new_asker_during_the_stopping_gets_the_stage_again() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
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
        await core.submit("t1", spec.to_json(), 0)
        await settle()
        core.release("t1")
        worker.go.set()
        await stopping.wait()
        await core.submit("t2", spec.to_json(), 0)
        assert (await until_ended(core, "t2", spec.key))["state"] == "done"
        assert len(worker.started) == 2

    with_broker(scenario)


def test_a_queued_stage_that_nobody_wants_never_starts() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        first, second = make_spec("a"), make_spec("b")
        await core.submit("t1", first.to_json(), 0)
        await core.submit("t2", second.to_json(), 0)
        core.release("t2")
        workers[0].go.set()
        await until_ended(core, "t1", first.key)
        await settle()
        assert workers[0].started == [first.key]

    with_broker(scenario)


async def order_of_starts(core: StageQueue, worker: FakeWorker, wishes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of stages in the order in which one worker gets them; all are wanted while it is busy."""
    busy = make_spec("busy")
    await core.submit("t-busy", busy.to_json(), 0)
    await settle()
    specs = {name: make_spec(name) for name in wishes}
    for name, wish in wishes.items():
        for trial in range(wish.get("trials", 1)):
            await core.submit(f"t-{name}-{trial}", specs[name].to_json(), wish.get("depth", 0), wish.get("after", ()))
    worker.go.set()
    for name, spec in specs.items():
        await until_ended(core, f"t-{name}-0", spec.key)
    names = {spec.key: name for name, spec in specs.items()}
    return [names[key] for key in worker.started[1:]]


def test_stages_that_unblock_most_work_go_first() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        wishes = {
            "last": {"depth": 3},
            "one-waits": {"after": ("evaluate",)},
            "two-wait": {"after": ("evaluate",), "trials": 2},
            "long-chain": {"after": ("rank", "finetune", "evaluate")},
        }
        started = await order_of_starts(core, workers[0], wishes)
        assert started == ["long-chain", "two-wait", "one-waits", "last"]

    with_broker(scenario)


def test_the_work_is_measured_by_the_times_of_stages_that_ended() -> None:
    stored = {
        make_spec("slow").key: {"history": [], "seconds": 50.0},
        make_spec("fast").key: {"history": [], "seconds": 0.1},
    }

    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        for name in ("slow", "fast"):
            await core.submit("t", make_spec(name).to_json(), 0)
        wishes = {"many-fast": {"after": ("fast",) * 5}, "one-slow": {"after": ("slow",)}}
        assert await order_of_starts(core, workers[0], wishes) == ["one-slow", "many-fast"]

    with_broker(scenario, stored=stored)


def test_equal_work_goes_by_depth_then_age() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        wishes: dict[str, dict[str, Any]] = {"first": {}, "second": {}, "deep": {"depth": 2}}
        assert await order_of_starts(core, workers[0], wishes) == ["deep", "first", "second"]

    with_broker(scenario)


def make_pretraining(epochs: int, **training: Any) -> StageSpec:
    return make_spec("pretrain", training={"epochs": epochs, "schedule": "constant", **training})


def test_a_training_waits_for_a_shorter_one_that_it_can_go_on_from() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        short, long, other = make_pretraining(2), make_pretraining(4), make_pretraining(4, schedule="one-cycle")
        await core.submit("t1", short.to_json(), 0)
        await core.submit("t2", long.to_json(), 0)
        await core.submit("t3", other.to_json(), 0)
        await settle()
        assert [worker.started for worker in workers] == [[short.key], [other.key]]
        for worker in workers:
            worker.go.set()
        assert (await until_ended(core, "t2", long.key))["state"] == "done"

    with_broker(scenario, n_workers=2)


def lose() -> dict[str, Any]:
    raise WorkerLostError("the actor died")


def test_a_lost_worker_means_another_try() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [lose, lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await core.submit("t", spec.to_json(), 0)
        end = await until_ended(core, "t", spec.key)
        assert end["state"] == "done"
        assert [record["epoch"] for record in end["records"]] == [1, 2]
        assert len(workers[0].started) == 2
        assert core.statistics()["lost_workers"] == 1

    with_broker(scenario)


def test_a_stage_that_kills_every_worker_fails_with_the_reason() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].outcome = lose
        workers[0].go.set()
        await core.submit("t", spec.to_json(), 0)
        end = await until_ended(core, "t", spec.key)
        assert end["state"] == "failed"
        assert end["reason"] == f"worker lost {MAX_LOSSES} times: the actor died"
        assert len(workers[0].started) == MAX_LOSSES

    with_broker(scenario)


def test_a_failure_is_told_and_a_later_asker_gets_a_new_try() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].outcome = lambda: {"state": "failed", "reason": "loss became nan"}
        workers[0].go.set()
        await core.submit("t1", spec.to_json(), 0)
        assert (await until_ended(core, "t1", spec.key))["reason"] == "loss became nan"
        core.release("t1")
        workers[0].outcome = lambda: {"state": "done", "seconds": 1.0}
        await core.submit("t2", spec.to_json(), 0)
        assert (await until_ended(core, "t2", spec.key))["state"] == "done"

    with_broker(scenario)


def test_a_forgotten_artifact_is_computed_again() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        workers[0].go.set()
        await core.submit("t", spec.to_json(), 0)
        await until_ended(core, "t", spec.key)
        core.forget(spec.key)
        await core.submit("t", spec.to_json(), 0)
        await until_ended(core, "t", spec.key)
        assert len(workers[0].started) == 2

    with_broker(scenario)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_worker_is_known_once_however_often_it_is_named(repeats: int) -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        for _ in range(repeats):
            core.add_worker("w0", workers[0])
        assert core.workers.names() == ["w0"]
        assert core.statistics()["idle"] == 1

    with_broker(scenario)


def test_a_report_for_a_stage_of_an_earlier_broker_lets_it_finish() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        assert await core.report("f" * 32, {"epoch": 1})

    with_broker(scenario)


def test_a_stage_that_does_not_stop_is_killed_after_the_grace() -> None:
    async def scenario() -> None:
        core = StageQueue({}.get, grace_s=0.1)
        worker = FakeWorker(core)
        core.add_worker("w", worker)
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        await settle()
        core.release("t")
        await asyncio.sleep(0.3)
        assert worker.killed == 1

    asyncio.run(scenario())


def test_a_worker_whose_stage_stopped_as_asked_is_not_killed_at_its_next_one() -> None:
    async def scenario() -> None:
        core = StageQueue({}.get, grace_s=0.1)
        worker = FakeWorker(core)
        core.add_worker("w", worker)
        unwanted, wanted = make_spec("unwanted"), make_spec("wanted")
        await core.submit("t1", unwanted.to_json(), 0)
        await settle()
        core.release("t1")
        worker.go.set()
        await settle()
        worker.go.clear()
        await core.submit("t2", wanted.to_json(), 0)
        await asyncio.sleep(0.3)
        assert worker.started == [unwanted.key, wanted.key]
        assert worker.killed == 0

    asyncio.run(scenario())


def test_a_stage_that_is_wanted_again_within_the_grace_is_not_killed() -> None:
    async def scenario() -> None:
        core = StageQueue({}.get, grace_s=0.1)
        worker = FakeWorker(core)
        core.add_worker("w", worker)
        spec = make_spec("pretrain")
        await core.submit("t1", spec.to_json(), 0)
        await settle()
        core.release("t1")
        await core.submit("t2", spec.to_json(), 0)
        await asyncio.sleep(0.3)
        assert worker.killed == 0
        worker.go.set()
        assert (await until_ended(core, "t2", spec.key))["state"] == "done"
        assert len(worker.started) == 1

    asyncio.run(scenario())


def preempt() -> dict[str, Any]:
    raise WorkerLostError("the node was taken away", "preempted")


def test_preemptions_do_not_count_as_losses() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [preempt] * (MAX_LOSSES + 2) + [lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await core.submit("t", spec.to_json(), 0)
        assert (await until_ended(core, "t", spec.key))["state"] == "done"
        counts = core.statistics()
        assert (counts["preempted"], counts["lost_workers"]) == (MAX_LOSSES + 2, 0)

    with_broker(scenario)


def killed_for_memory() -> dict[str, Any]:
    raise WorkerLostError("the node ran out of memory", "out of memory")


@pytest.mark.parametrize(
    "runs_out", [killed_for_memory, lambda: {"state": "failed", "reason": "CUDA out of memory", "out_of_memory": True}]
)
def test_out_of_memory_is_tried_once_more_with_the_machine_to_itself(runs_out: Callable[[], dict[str, Any]]) -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        large, small, later = make_spec("large"), make_spec("small"), make_spec("later")
        outcomes = [runs_out, lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        await core.submit("t1", large.to_json(), 0)
        await core.submit("t2", small.to_json(), 0)
        await settle()
        await core.submit("t3", later.to_json(), 5)
        workers[0].go.set()
        await settle()
        assert core.statistics()["running"] == 1, "it waits for the other worker, and so does everything else"
        workers[0].outcome = workers[1].outcome = lambda: {"state": "done", "seconds": 1.0}
        workers[1].go.set()
        ends = [await until_ended(core, f"t{n}", spec.key) for n, spec in enumerate((large, small, later), start=1)]
        assert [end["state"] for end in ends] == ["done"] * 3
        assert sum(worker.started.count(large.key) for worker in workers) == 2

    with_broker(scenario, n_workers=2)


def test_out_of_memory_twice_fails_with_the_reason_and_the_others_go_on() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        large, other = make_spec("large"), make_spec("other")
        outcomes = [killed_for_memory, killed_for_memory, lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await core.submit("t1", large.to_json(), 0)
        await core.submit("t2", other.to_json(), 0)
        end = await until_ended(core, "t1", large.key)
        assert end["state"] == "failed"
        assert end["reason"] == "out of memory, with the machine to itself too: the node ran out of memory"
        assert (await until_ended(core, "t2", other.key))["state"] == "done"

    with_broker(scenario)


def test_a_lost_worker_gets_no_stage_until_it_is_added_again() -> None:
    async def scenario() -> None:
        core = StageQueue({}.get)
        worker = FakeWorker(core)
        worker.outcome = lose
        worker.go.set()
        core.add_worker("w", worker)
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        await settle()
        assert core.workers.names() == []
        assert (core.statistics()["queued"], len(worker.started)) == (1, 1)
        worker.outcome = lambda: {"state": "done", "seconds": 1.0}
        core.add_worker("w", worker)
        assert (await until_ended(core, "t", spec.key))["state"] == "done"

    asyncio.run(scenario())


def test_only_an_idle_worker_can_be_returned() -> None:
    async def scenario() -> None:
        core = StageQueue({}.get)
        worker = FakeWorker(core)
        core.add_worker("w", worker)
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        await settle()
        assert not core.workers.remove_if_idle("w")
        worker.go.set()
        await until_ended(core, "t", spec.key)
        assert core.workers.remove_if_idle("w")
        assert core.workers.names() == []

    asyncio.run(scenario())


def test_losses_with_the_node_do_not_count() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [lose] * (MAX_LOSSES + 2) + [lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].node_is_gone = True
        workers[0].go.set()
        await core.submit("t", spec.to_json(), 0)
        assert (await until_ended(core, "t", spec.key))["state"] == "done"
        await settle()
        counts = core.statistics()
        assert (counts["preempted"], counts["lost_workers"]) == (MAX_LOSSES + 2, 0)

    with_broker(scenario)


def unfit() -> dict[str, Any]:
    raise WorkerLostError("the disk is read-only", "unfit")


def test_a_worker_that_turns_out_unfit_costs_the_stage_nothing() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        outcomes = [unfit] * (MAX_LOSSES + 2) + [lambda: {"state": "done", "seconds": 1.0}]
        workers[0].outcome = lambda: outcomes.pop(0)()
        workers[0].go.set()
        await core.submit("t", spec.to_json(), 0)
        assert (await until_ended(core, "t", spec.key))["state"] == "done"
        assert core.statistics()["lost_workers"] == 0

    with_broker(scenario)


def test_without_fit_workers_the_waiting_stages_fail_with_the_reason_and_the_running_ones_go_on() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        running, waiting = make_spec("running"), make_spec("waiting")
        await core.submit("t1", running.to_json(), 0)
        await settle()
        await core.submit("t2", waiting.to_json(), 0)
        await core.refuse("no stage worker can start: the disk is read-only")
        end = await until_ended(core, "t2", waiting.key)
        assert (end["state"], end["reason"]) == ("failed", "no stage worker can start: the disk is read-only")
        workers[0].go.set()
        assert (await until_ended(core, "t1", running.key))["state"] == "done"
        core.release("t2")
        await core.submit("t3", waiting.to_json(), 0)
        assert (await until_ended(core, "t3", waiting.key))["state"] == "done", "a new asker gets a new try"

    with_broker(scenario)


def test_a_slow_store_holds_nothing_else_up_and_loses_no_wish() -> None:
    def slow(key: str) -> None:
        time.sleep(0.3)

    async def scenario() -> None:
        core = StageQueue(slow)
        worker = FakeWorker(core)
        worker.go.set()
        core.add_worker("w", worker)
        spec = make_spec("pretrain")
        asked = [asyncio.create_task(core.submit(f"t{trial}", spec.to_json(), 0)) for trial in range(3)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        core.release("another")
        assert await core.report("f" * 32, {"epoch": 1})
        assert time.monotonic() - began < 0.2
        await asyncio.gather(*asked)
        ends = [await until_ended(core, f"t{trial}", spec.key) for trial in range(3)]
        assert [end["state"] for end in ends] == ["done"] * 3
        assert worker.started == [spec.key]

    asyncio.run(scenario())


def test_epochs_of_a_stage_that_was_begun_for_an_earlier_broker_are_told_in_order() -> None:
    async def scenario() -> None:
        begun = [{"epoch": epoch, "probe_error": 0.5} for epoch in (1, 2)]
        core = StageQueue({}.get, begun=lambda key: begun)
        spec = make_spec("pretrain")
        await core.submit("t", spec.to_json(), 0)
        await core.report(spec.key, {"epoch": 3, "probe_error": 0.5})  # its worker lives on
        news = await core.follow("t", spec.key, 0, 5)
        assert (news["state"], [record["epoch"] for record in news["records"]]) == ("queued", [1, 2, 3])

    asyncio.run(scenario())


def test_two_probes_share_a_stage_and_each_hears_whose_values_they_are() -> None:
    """The stage is run with the first one's probe; whether a value is its own, a follower sees by the record."""

    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
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
        await core.submit("t0", first.to_json(), 0)
        await core.submit("t1", second.to_json(), 0)
        workers[0].go.set()
        ends = await asyncio.gather(*(until_ended(core, trial, first.key) for trial in ("t0", "t1")))
        assert len(workers[0].started) == 1
        for end in ends:
            assert [record["watch"] for record in end["records"]] == [first.watch_digest] * 2

    with_broker(scenario)


def test_a_worker_is_told_which_inputs_its_machine_may_not_see_yet() -> None:
    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        first, unknown = make_spec("pretrain"), "f" * 32
        told: list[Mapping[str, float]] = []
        run = workers[0].run

        async def listening(spec_json: Mapping[str, Any], *, recent: Mapping[str, float], **_: Any) -> dict[str, Any]:
            told.append(recent)
            return await run(spec_json)

        workers[0].run = listening  # type: ignore[method-assign]
        workers[0].go.set()
        await core.submit("t", first.to_json(), 0)
        await until_ended(core, "t", first.key)
        later = dataclasses.replace(first, stage="finetune", inputs={"network": first.key, "other": unknown})
        await core.submit("t", later.to_json(), 1)
        await until_ended(core, "t", later.key)
        assert told[0] == {}
        assert set(told[1]) == {first.key, unknown}, "what an earlier broker knew may have just been done"
        assert all(VISIBLE_S - 5 < left_s <= VISIBLE_S for left_s in told[1].values())
        core._stages[first.key].ended_at = core._began = time.monotonic() - VISIBLE_S
        assert core._recent([first.key, unknown]) == {}, "what is not seen by now was cleaned up"

    with_broker(scenario)


def test_who_follows_a_stage_hears_what_it_has_come_to() -> None:
    said = {"values": {"errors": {"objective": 0.25}}, "host": "far-away"}

    async def scenario(core: StageQueue, workers: list[FakeWorker]) -> None:
        computed, stored = make_spec("pretrain"), make_spec("stored")
        workers[0].outcome = lambda: {"state": "done", "seconds": 2.0, **said}
        workers[0].go.set()
        for spec in (computed, stored):
            await core.submit("t", spec.to_json(), 0)
            end = await until_ended(core, "t", spec.key)
            assert {name: end[name] for name in said} == said

    with_broker(scenario, stored={make_spec("stored").key: {"history": [], **said}})
