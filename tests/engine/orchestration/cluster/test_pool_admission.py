"""Machines that are not fit for a sweep's stages: they are named, compute nothing, and end no trial as its failure."""

import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.orchestration.cluster.admission import Admission
from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.cluster.stage_worker import StageWorker
from engine.settings import DataSettings
from engine.stages import info_to_json, prepare_data
from engine.store import Store
from tests.engine.orchestration.cluster.conftest import COUNTING
from tests.engine.orchestration.cluster.test_stage_pool import files, get, make_spec, start_trials, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class WorkerElsewhere(StageWorker):
    """A stage worker on a machine where the store's folder is another one, though it is called the same."""

    def __init__(self, *, store: str, **options: Any) -> None:
        super().__init__(store=f"{store}-of-this-machine", **options)


@pytest.fixture
def make(standing, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start an elastic pool with some options."""
    from engine.orchestration.cluster.stage_pool import StagePool

    standing.close()
    pools: list[Any] = []

    def start(store: Store, **options: Any) -> tuple[Any, str]:
        info, _ = prepare_data(DataSettings(n_train=20, n_validation=20, n_test=20), store)
        name = f"broker-{tmp_path.name}-{len(pools)}"
        fixed = {"imports": (COUNTING,), "slots": SlotPlan(2, 1, 0.0), "elastic": True, "data": info_to_json(info)}
        pools.append(StagePool(name=name, store=store.address, **fixed, **options))
        return pools[-1], info.key

    yield start
    for pool in pools:
        pool.close()


def other_versions(admission: Admission) -> Admission:
    return dataclasses.replace(admission, facts=dataclasses.replace(admission.facts, versions={"torch": "0.1"}))


@pytest.mark.parametrize("empty", [True, False])
def test_a_store_that_is_not_shared_is_refused_with_host_and_folder(make, tmp_path: Path, empty: bool) -> None:
    store, said = Store(tmp_path / "store"), []
    if not empty:  # there is such a folder on the other machine too, and it has been used
        Store(tmp_path / "store-of-this-machine")
    admission = Admission.of_driver(store, ())
    pool, data = make(store, worker=WorkerElsewhere, admission=admission, say=said.append)
    ((_, reports),) = get(start_trials(pool, store, [[make_spec(data, tmp_path / "count")]]))
    last = reports[-1]
    assert last["hopeless"]
    assert f"machine {socket.gethostname()} does not share the sweep's store {store.address}-of-this" in last["failure"]
    assert files(tmp_path / "count", "start-*") == []
    assert len(said) == 1, "once, however many workers found it"


def test_other_versions_are_refused_and_what_differs_is_said(make, tmp_path: Path) -> None:
    store, said = Store(tmp_path / "store"), []
    admission = other_versions(Admission.of_driver(store, ()))
    pool, data = make(store, admission=admission, say=said.append)
    ((_, reports),) = get(start_trials(pool, store, [[make_spec(data, tmp_path / "count")]]))
    assert reports[-1]["hopeless"]
    assert "has other code or versions than" in reports[-1]["failure"]
    assert "(here 0.1)" in reports[-1]["failure"]
    assert said == [f"not used: {reports[-1]['failure'].removeprefix('no stage worker can start: ')}"]


def test_a_machine_that_agrees_computes(make, tmp_path: Path) -> None:
    store, said = Store(tmp_path / "store"), []
    admission = Admission.of_driver(store, (COUNTING,))
    pool, data = make(store, admission=Admission.from_json(admission.to_json()), say=said.append)
    ((_, reports),) = get(start_trials(pool, store, [[make_spec(data, tmp_path / "count")]]))
    assert reports[-1]["objective"] == 0.5
    assert said == []
    admission.end(store)
    assert store.look_at(admission.mark.key) is None


def test_what_one_sweep_leaves_idle_another_one_gets(make, tmp_path: Path) -> None:
    """Two sweeps on one cluster whose cores the first one has: the second waits for seconds, not until it gives up."""
    import ray

    store, n_cores = Store(tmp_path / "store"), int(ray.cluster_resources()["CPU"])
    first, data = make(store)
    specs = [make_spec(data, tmp_path / "first", name=str(place), epoch_s=0.5) for place in range(n_cores)]
    get(start_trials(first, store, [[spec] for spec in specs]))
    assert first.statistics()["idle"] == first.statistics()["workers"] == min(2, n_cores)
    if n_cores > 2:
        pytest.skip("the first sweep does not have all cores")
    second, _ = make(store)
    began = time.monotonic()
    ((_, reports),) = get(start_trials(second, store, [[make_spec(data, tmp_path / "second", epochs=1)]]))
    assert reports[-1]["objective"] == 0.5
    assert time.monotonic() - began < 30
    wait_for(lambda: first.statistics().get("workers", 2) < 2)
