"""Disks that are full, read-only or slow, and workers that cannot start, through broker, workers and trials."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.stages import find_whole
from engine.store import Store
from tests.engine.orchestration.cluster.conftest import COUNTING
from tests.engine.orchestration.cluster.test_stage_pool import files, get, make_spec, start_trials, wait_for
from tests.engine.orchestration.disks import fill, mounted, remount

pytestmark = pytest.mark.slow

SLOW_STORE = "tests.engine.orchestration.slow_store"
"""A module for stage workers; imported here, it would slow every store of this process."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as folder:
        yield folder


def run(pool: Any, store: Store, *specs: Any) -> list[dict[str, Any]]:
    """Run a trial of one stage for each spec; return what each reported last."""
    return [reports[-1] for _, reports in get(start_trials(pool, store, [[spec] for spec in specs]))]


def test_workers_that_start_on_a_read_only_store_say_so_and_work_once_it_is_writable(
    make_pool, disk: Path, tmp_path: Path
) -> None:
    store = Store(disk / "store")
    pool, data = make_pool(store, before=lambda: remount(disk, "ro"))
    specs = [make_spec(data, tmp_path / "count", name=name) for name in "ab"]
    for last in run(pool, store, *specs):
        assert last["failure"] == (
            f"no stage worker can start: store cannot be written: {store.root} (Read-only file system)"
        )
    assert files(tmp_path / "count", "start-*") == []
    remount(disk, "rw")
    wait_for(lambda: pool.statistics().get("workers") == 2)
    assert [last["objective"] for last in run(pool, store, *specs)] == [0.5, 0.5]
    assert pool.statistics()["lost_workers"] == 0


def test_a_store_that_becomes_read_only_fails_the_stage_with_the_reason_and_keeps_what_it_has(
    make_pool, disk: Path, tmp_path: Path
) -> None:
    store, folder = Store(disk / "store"), tmp_path / "count"
    pool, data = make_pool(store)
    early, late = make_spec(data, folder, name="early", epochs=1), make_spec(data, tmp_path / "late", epoch_s=1.0)
    assert run(pool, store, early)[0]["objective"] == 0.5
    futures = start_trials(pool, store, [[late]])
    wait_for(lambda: len(files(tmp_path / "late", "epoch-2-*")) == 1)
    remount(disk, "ro")
    ((_, reports),) = get(futures)
    assert reports[-1]["failure"].startswith("counting: StoreFaultError: the store failed while ")
    assert "Read-only file system" in reports[-1]["failure"]
    assert run(pool, store, early)[0]["objective"] == 0.5, "what is there can be read"
    remount(disk, "rw")
    shutil.rmtree(store.root / "leases")  # the worker could not: it would be waited for until it is stale
    assert run(pool, store, late)[0]["objective"] == 0.5
    assert len(files(tmp_path / "late", "epoch-1-*")) == 1, "what a checkpoint holds is not computed again"
    assert pool.statistics()["lost_workers"] == 0


def test_a_full_store_fails_the_stage_with_the_reason_and_keeps_what_it_has(
    make_pool, disk: Path, tmp_path: Path
) -> None:
    store = Store(disk / "store")
    pool, data = make_pool(store)
    early, late = (make_spec(data, tmp_path / "count", name=name, epochs=1) for name in ("early", "late"))
    run(pool, store, early)
    ballast = fill(disk)
    (last,) = run(pool, store, late)
    assert last["failure"].startswith("counting: StoreFaultError: the store failed while ")
    assert "No space left on device" in last["failure"]
    assert find_whole(store, early.key) is not None
    assert list(store.root.glob("attempts/*")) == []
    ballast.unlink()
    assert run(pool, store, late)[0]["objective"] == 0.5
    assert pool.statistics()["lost_workers"] == 0


def test_a_slow_store_delays_and_loses_nothing(make_pool, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    pool, data = make_pool(store, imports=(COUNTING, SLOW_STORE))
    spec = make_spec(data, tmp_path / "count", epochs=3, epoch_s=0.0)
    results = get(start_trials(pool, store, [[spec]] * 3))
    for _, reports in results:
        assert [record["epoch"] for report in reports for record in report["records"]] == [1, 2, 3]
        assert reports[-1]["objective"] == 0.5
    assert len(files(tmp_path / "count", "start-*")) == 1
    assert find_whole(store, spec.key).manifest["seconds"] > 3, "one second for each epoch's checkpoint"


def test_a_module_that_fails_on_the_workers_is_the_reason(make_pool, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    pool, data = make_pool(store, imports=("tests.engine.orchestration.broken_module",))
    (last,) = run(pool, store, make_spec(data, tmp_path / "count"))
    assert last["failure"] == "no stage worker can start: RuntimeError: this machine has no such device"


def test_workers_that_die_while_they_start_are_given_up(make_pool, tmp_path: Path, monkeypatch) -> None:
    from engine.orchestration.cluster import stage_pool as module

    monkeypatch.setattr(module, "LOST_S", 2.0)
    store = Store(tmp_path / "store")
    pool, data = make_pool(store, imports=("tests.engine.orchestration.deadly_module",))
    (last,) = run(pool, store, make_spec(data, tmp_path / "count"))
    assert last["failure"].startswith("no stage worker can start: its process does not live: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is a GPU that does not answer that is wanted")
def test_workers_whose_gpu_does_not_answer_get_no_stage_and_are_started_anew(
    make_pool, tmp_path: Path, monkeypatch
) -> None:
    from engine.orchestration.cluster import stage_pool as module
    from engine.orchestration.cluster.stage_worker import StageWorker

    class OnGpu(StageWorker):
        def __init__(self, **arguments: Any) -> None:
            (tmp_path / f"process-{os.getpid()}").touch()
            super().__init__(**{**arguments, "device": "cuda"})

    monkeypatch.setattr(module, "_ANEW_S", 2.0)
    store = Store(tmp_path / "store")
    pool, data = make_pool(store, worker=OnGpu, n_slots=1)
    (last,) = run(pool, store, make_spec(data, tmp_path / "count"))
    assert last["failure"].startswith("no stage worker can start: the GPU of machine ")
    assert files(tmp_path / "count", "start-*") == []
    wait_for(lambda: len(files(tmp_path, "process-*")) >= 2)
