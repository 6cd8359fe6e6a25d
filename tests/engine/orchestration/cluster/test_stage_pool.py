"""Broker, stage workers and light trials as real processes."""

import dataclasses
import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engine.orchestration.cluster import stage_pool
from engine.orchestration.cluster.slots import SlotPlan
from engine.stages import StageSpec
from engine.stages.registration import STAGES
from engine.store import Store
from tests.chaos.processes import Process, descendants, wait_until_gone


def make_spec(data: str, folder: Path, name: str = "a", **settings: Any) -> StageSpec:
    folder.mkdir(exist_ok=True)
    values = {"folder": str(folder), "epochs": 3, "epoch_s": 0.1, "name": name, **settings}
    return StageSpec("counting", 1, values, {}, data, 0, {"device": "cpu"})


def start_trials(
    pool: Any, store: Store, chains: list[list[StageSpec]], *, name: str | None = None, apart: bool = False
) -> list[Any]:
    """Run each chain of stages as a light trial in another process; return the futures of what it reported.

    Args:
        pool: of workers.
        store: the pool's.
        chains: of stages, one a trial.
        name: what the trials' names begin with, if it matters; they end with their place.
        apart: whether each gets a process of its own; else one may serve another when it is free.
    """
    import ray

    @ray.remote(num_cpus=0, max_retries=0, max_calls=1 if apart else 0)
    def trial(plan: str) -> tuple[int, list[dict[str, Any]]]:
        import asyncio

        from engine.orchestration.cluster.light_trial import walk_trial
        from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE

        async def reports_of_trial() -> list[dict[str, Any]]:
            return [report async for report in walk_trial({"plan": plan})]

        reports = asyncio.run(reports_of_trial())
        words = json.loads(plan)
        broker = ray.get_actor(words["broker"], namespace=BROKER_NAMESPACE)
        ray.get(broker.release.remote(words["trial"], True))  # as the driver does of a trial that has ended
        time.sleep(0.5 if apart else 0.0)  # hold the process, so that no other trial is given it
        return os.getpid(), reports

    name = name or f"trial-{uuid.uuid4().hex}-"
    plans = [
        json.dumps(
            {
                "trial": f"{name}{number}",
                "broker": pool.name,
                "stages": [spec.to_json() for spec in chain],
                "judged": chain[-1].key,
                "step_bases": {"counting": 0},
                "by_cells": False,
            }
        )
        for number, chain in enumerate(chains)
    ]
    return [trial.remote(plan) for plan in plans]


def get(futures: list[Any]) -> list[tuple[int, list[dict[str, Any]]]]:
    import ray

    return ray.get(futures, timeout=120)


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_four_trials_in_separate_processes_share_one_run(pool, tmp_path: Path) -> None:
    made, store, data = pool
    before = made.statistics()
    spec = make_spec(data, tmp_path / "count")
    results = get(start_trials(made, store, [[spec]] * 4, apart=True))
    assert len({process for process, _ in results}) == 4
    assert len(files(tmp_path / "count", "start-*")) == 1
    for _, reports in results:
        assert [record["epoch"] for report in reports for record in report["records"]] == [1, 2, 3]
        assert reports[-1]["objective"] == 0.5
    assert made.statistics()["shared"] - before["shared"] == 3


def test_a_stage_that_raises_fails_its_trial_with_the_reason_and_the_worker_lives(pool, tmp_path: Path) -> None:
    made, store, data = pool
    before = made.statistics()
    folder = tmp_path / "count"
    bad, good = make_spec(data, folder, name="bad", fails=True), make_spec(data, folder, name="good")
    (_, failed), (_, completed) = get(start_trials(made, store, [[bad], [good]]))
    assert failed[-1]["failure"] == "counting: RuntimeError: it was told to"
    assert completed[-1]["objective"] == 0.5
    assert made.statistics()["lost_workers"] == before["lost_workers"]


def test_a_corrupt_artifact_of_an_input_is_computed_again(pool, tmp_path: Path) -> None:
    made, store, data = pool
    folder = tmp_path / "count"
    spec = make_spec(data, folder)
    get(start_trials(made, store, [[spec]]))
    artifact = store.find(spec.key)
    assert artifact is not None
    (artifact.folder / "errors.json").write_text("{}")
    follower = StageSpec(
        "counting", 1, {**spec.settings, "name": "next"}, {"first": spec.key}, data, 0, dict(spec.numerics)
    )
    ((_, reports),) = get(start_trials(made, store, [[spec, follower]]))
    assert reports[-1]["objective"] == 0.5
    assert len(files(folder, "start-*")) == 3, "the corrupt one ran again, and then its follower"
    assert [folder.name[:32] for folder in (store.root / "quarantine").iterdir()].count(spec.key) == 1


def test_the_counting_stage_is_a_users_own() -> None:
    from tests.engine.orchestration import counting_stage

    assert STAGES["counting"].run is counting_stage.counting


def whose(reports: list[dict[str, Any]]) -> list[bool]:
    return [record["own_watch"] for report in reports for record in report["records"]]


def test_a_trial_knows_the_values_of_another_trial_s_probe(pool, tmp_path: Path) -> None:
    """Two trials in flight share a stage, each with its probe; a third one finds it in the store."""
    made, store, data = pool
    spec = make_spec(data, tmp_path / "count")
    probes = [dataclasses.replace(spec, watch={"probe": {"n_probe": n}}) for n in (10, 20, 30)]
    assert len({probe.key for probe in probes}) == 1
    results = get(start_trials(made, store, [[probe] for probe in probes[:2]]))
    assert len(files(tmp_path / "count", "start-*")) == 1
    assert sorted(whose(reports) for _, reports in results) == [[False] * 3, [True] * 3]
    assert all(reports[-1]["objective"] == 0.5 for _, reports in results)
    ((_, reports),) = get(start_trials(made, store, [[probes[2]]]))
    assert whose(reports) == [False] * 3
    assert [record["value"] for report in reports for record in report["records"]] == [1.0, 0.5, 1 / 3], "it is shown"


def test_a_training_that_diverged_is_not_computed_again_for_later_trials(pool, tmp_path: Path) -> None:
    made, store, data = pool
    spec = make_spec(data, tmp_path / "count", epochs=1, epoch_s=0.0, diverges=True)
    for _ in range(3):
        ((_, reports),) = get(start_trials(made, store, [[spec]]))
        assert reports[-1]["failure"] == "counting: loss became nan"
    assert len(files(tmp_path / "count", "start-*")) == 1


def test_a_trial_that_the_driver_has_released_asks_for_nothing(pool, tmp_path: Path) -> None:
    made, store, data = pool
    spec = make_spec(data, tmp_path / "count", epochs=1)
    made.release("released0")
    ((_, reports),) = get(start_trials(made, store, [[spec]], name="released"))
    assert reports[-1]["failure"] == "the sweep has ended this trial"
    assert files(tmp_path / "count", "start-*") == []


def test_a_killed_worker_is_replaced_and_the_stage_goes_on_from_its_checkpoint(own_pool, tmp_path: Path) -> None:
    made, store, data = own_pool
    wait_for(lambda: made.statistics().get("workers") == 2)
    n_lost = made.statistics()["lost_workers"]
    said: list[str] = []
    made._say = said.append
    folder = tmp_path / "count"
    spec = make_spec(data, folder, epochs=4, epoch_s=0.5)
    futures = start_trials(made, store, [[spec]])
    wait_for(lambda: len(files(folder, "epoch-3-*")) == 1)
    (started,) = files(folder, "start-*")
    os.kill(int(started.read_text()), signal.SIGKILL)
    ((_, reports),) = get(futures)
    assert reports[-1]["objective"] == 0.5
    assert [record["epoch"] for report in reports for record in report["records"]] == [1, 2, 3, 4]
    assert len(files(folder, "start-*")) == 2
    assert len(files(folder, "epoch-1-*")) == 1, "what a checkpoint holds is not computed again"
    assert made.statistics()["lost_workers"] == n_lost + 1
    wait_for(lambda: said == ["1 worker was started anew"])


def test_a_killed_broker_is_restarted_and_the_trials_go_on(own_pool, tmp_path: Path) -> None:
    import ray

    made, store, data = own_pool
    folder = tmp_path / "count"
    specs = [make_spec(data, folder, name=str(number), epochs=4, epoch_s=0.4) for number in range(3)]
    futures = start_trials(made, store, [[spec] for spec in specs])
    wait_for(lambda: len(files(folder, "epoch-2-*")) >= 1)
    ray.kill(made.broker, no_restart=False)
    for _, reports in get(futures):
        assert reports[-1]["objective"] == 0.5


def test_what_the_broker_no_longer_hears_at_the_end_is_no_error(own_pool, capsys) -> None:
    made, _, _ = own_pool
    wait_for(lambda: made.statistics().get("workers") == 2)
    broker = broker_process()
    os.kill(broker.number, signal.SIGSTOP)
    made.release("t")
    assert made.statistics(timeout_s=0.1) == {}
    began = time.monotonic()
    made.close()
    assert wait_until_gone([broker], 30) == []
    time.sleep(3)  # Ray tells its errors once a second
    assert time.monotonic() - began < 30
    assert "failed" not in "".join(capsys.readouterr())


def broker_process() -> Process:
    (found,) = [process for process in descendants(os.getpid()) if process.title.startswith("ray::Broker")]
    return found


def test_a_worker_that_is_set_up_is_made_known_at_once_and_one_in_trouble_asked_every_second(monkeypatch) -> None:
    waited: list[Any] = []
    ray = SimpleNamespace(wait=lambda pending, **_: waited.append(list(pending)))
    monkeypatch.setattr(stage_pool, "ray", ray)
    pool = stage_pool.StagePool.__new__(stage_pool.StagePool)
    pool._closed = SimpleNamespace(wait=waited.append)  # type: ignore[assignment]
    pool._faults, pool._lost_since, pool._ready = {}, {}, {}
    pool._pause()
    pool._ready = {"worker-0": "answer"}
    pool._pause()
    pool._faults = {"worker-1": "its disk is full"}
    pool._pause()
    assert waited == [1.0, ["answer"], 1.0]


def test_a_worker_sets_itself_up_as_soon_as_it_is_made(monkeypatch) -> None:
    asked: list[str] = []

    def call(name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda: asked.append(name) or name)

    actor = SimpleNamespace(__ray_ready__=call("placed"), ready=call("ready"))
    pool = stage_pool.StagePool.__new__(stage_pool.StagePool)
    pool._slots = SlotPlan(2, 1, 0.0)
    pool._watch = SimpleNamespace(unfit=())  # type: ignore[assignment]
    pool._workers, pool._placed, pool._ready, pool._n_made, pool._arguments = {}, {}, {}, 0, {}
    pool._class = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: actor))
    pool._make_workers(2)
    assert asked == ["placed", "ready"] * 2
    assert list(pool._ready) == ["worker-0", "worker-1"]
