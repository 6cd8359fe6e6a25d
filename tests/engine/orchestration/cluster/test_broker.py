"""The broker's decisions, with workers that are coroutines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from engine.orchestration.cluster.broker import MAX_LOSSES, BrokerCore, WorkerLostError
from engine.stages.spec import StageSpec


def make_spec(name: str, **settings: Any) -> StageSpec:
    return StageSpec(name, 1, settings, {}, "0" * 32, 0, {"device": "cpu", "amp": False})


class FakeWorker:
    """A worker whose stages report two epochs and wait until the test lets them go on."""

    def __init__(self, core: BrokerCore) -> None:
        self.core = core
        self.started: list[str] = []
        self.go = asyncio.Event()
        self.outcome: Callable[[], dict[str, Any]] = lambda: {"state": "done", "seconds": 2.0}

    async def run(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        key = StageSpec.from_json(spec).key
        self.started.append(key)
        for epoch in (1, 2):
            wanted = await self.core.report(key, {"epoch": epoch, "probe_error": 0.5})
            if not wanted:
                return {"state": "cancelled"}
            if epoch == 1:
                await self.go.wait()
        return self.outcome()


def with_broker(
    scenario: Callable[[BrokerCore, list[FakeWorker]], Awaitable[None]],
    *,
    n_workers: int = 1,
    stored: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    async def run() -> None:
        core = BrokerCore((stored or {}).get)
        workers = [FakeWorker(core) for _ in range(n_workers)]
        for number, worker in enumerate(workers):
            core.add_worker(f"w{number}", worker)
        await asyncio.wait_for(scenario(core, workers), 10)

    asyncio.run(run())


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0.002)


async def until_ended(core: BrokerCore, trial: str, key: str) -> dict[str, Any]:
    heard, records = 0, []
    while True:
        news = await core.follow(trial, key, heard, 5)
        records += news["records"]
        heard += len(news["records"])
        if news["state"] in ("done", "failed"):
            return {**news, "records": records}


def test_eight_trials_that_want_one_stage_share_one_run() -> None:
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
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


def test_a_stored_stage_is_done_at_once_with_its_history() -> None:
    spec = make_spec("pretrain")
    manifest = {"history": [{"epoch": 1, "probe_error": 0.1}], "seconds": 3.0}

    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
        await core.submit("t", spec.to_json(), 0)
        news = await core.follow("t", spec.key, 0, 5)
        assert (news["state"], news["from_store"], news["records"]) == ("done", True, manifest["history"])
        assert workers[0].started == []
        assert core.statistics()["from_store"] == 1

    with_broker(scenario, stored={spec.key: manifest})


def test_a_stage_that_nobody_wants_is_asked_to_stop() -> None:
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
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
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
        spec = make_spec("pretrain")
        worker = workers[0]
        stopping = asyncio.Event()
        real_run = worker.run

        async def slow_to_stop(spec_json: Mapping[str, Any]) -> dict[str, Any]:
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
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
        first, second = make_spec("a"), make_spec("b")
        await core.submit("t1", first.to_json(), 0)
        await core.submit("t2", second.to_json(), 0)
        core.release("t2")
        workers[0].go.set()
        await until_ended(core, "t1", first.key)
        await settle()
        assert workers[0].started == [first.key]

    with_broker(scenario)


def test_deeper_stages_go_first_then_those_that_more_trials_want() -> None:
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
        specs = {name: make_spec(name) for name in ("busy", "shallow", "popular", "deep")}
        await core.submit("t0", specs["busy"].to_json(), 0)
        await settle()
        await core.submit("t1", specs["shallow"].to_json(), 0)
        await core.submit("t2", specs["popular"].to_json(), 0)
        await core.submit("t3", specs["popular"].to_json(), 0)
        await core.submit("t4", specs["deep"].to_json(), 2)
        workers[0].go.set()
        for trial, name in (("t4", "deep"), ("t3", "popular"), ("t1", "shallow")):
            await until_ended(core, trial, specs[name].key)
        assert workers[0].started == [specs[name].key for name in ("busy", "deep", "popular", "shallow")]

    with_broker(scenario)


def lose() -> dict[str, Any]:
    raise WorkerLostError("the actor died")


def test_a_lost_worker_means_another_try() -> None:
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
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
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
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
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
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
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
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
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
        for _ in range(repeats):
            core.add_worker("w0", workers[0])
        assert core.worker_names() == ["w0"]
        assert core.statistics()["idle"] == 1

    with_broker(scenario)


def test_a_report_for_a_stage_of_an_earlier_broker_lets_it_finish() -> None:
    async def scenario(core: BrokerCore, workers: list[FakeWorker]) -> None:
        assert await core.report("f" * 32, {"epoch": 1})

    with_broker(scenario)
