"""Broker, workers and trials, while others compute in their store, or clean it up."""

from pathlib import Path

import pytest
import torch

from engine.stages import StageSpec
from engine.store import Store
from engine.store.leases import stage_lease
from tests.engine.orchestration.cluster.test_stage_pool import files, get, make_spec, start_trials, wait_for
from tests.engine.orchestration.counting_stage import GO_ON


def test_a_stage_that_another_process_computes_is_counted_as_shared(pool, tmp_path: Path) -> None:
    import ray

    made, store, data = pool
    wait_for(lambda: made.statistics().get("idle") == 2)  # a broker that is not reached within seconds has no counts
    before = made.statistics()
    spec = make_spec(data, tmp_path / "count")
    epoch = {"epoch": 1, "loss": 0.5, "probe_error": 0.5}
    with stage_lease(store.root, spec.key, {}):
        futures = start_trials(made, store, [[spec]])
        wait_for(lambda: made.statistics().get("elsewhere") == 1)
        assert made.statistics()["idle"] == 2, "nobody's slot is held"
        store.save_checkpoint(spec.key, 1, {"x": torch.tensor(1)}, {"epoch": 1, "history": [epoch]})
        news = ray.get(made.broker.follow.remote(spec.key, 0, 30), timeout=40)
        assert news["records"] == [epoch], "the broker waits, and passes the other process's epochs on"
        with store.attempt(spec.key) as attempt:
            attempt.write_json("errors", {"objective": 0.25})
            store.publish(attempt, {"spec": spec.to_json(), "history": [epoch], "seconds": 5.0})
        ((_, reports),) = get(futures)
    assert reports[-1]["objective"] == 0.25
    after = made.statistics()
    counted = {name: after[name] - before[name] for name in ("run", "shared", "from_store", "saved_seconds")}
    assert counted == {"run": 0, "shared": 1, "from_store": 0, "saved_seconds": 5.0}


@pytest.mark.parametrize("damage", ["cleaned up", "corrupt"])
def test_what_was_cleaned_up_behind_the_broker_s_back_is_computed_again(pool, tmp_path: Path, damage: str) -> None:
    made, store, data = pool
    folder = tmp_path / "count"
    first = make_spec(data, folder)
    last = StageSpec("counting", 1, {**first.settings, "name": "b"}, {"a": first.key}, data, 0, dict(first.numerics))
    get(start_trials(made, store, [[first, last]]))
    for key in (first.key, last.key):
        if damage == "cleaned up":
            store.remove(key)
        else:
            (store.artifact_folder(key) / "errors.json").write_text("{}")
    further = StageSpec("counting", 1, {**first.settings, "name": "c"}, {"a": last.key}, data, 0, dict(first.numerics))
    ((_, reports),) = get(start_trials(made, store, [[first, last, further]]))
    assert reports[-1]["objective"] == 0.5
    assert all(store.find(spec.key) is not None for spec in (first, last, further))
    assert len(files(folder, "start-*")) == 5, "both ran again, since what comes after them needs them"


def test_a_sweep_goes_on_with_what_another_one_was_computing_when_it_ended(make_pool, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (first, data), (second, _) = (make_pool(store, n_slots=1) for _ in range(2))
    folder = tmp_path / "count"
    shared = make_spec(data, folder, epochs=4, alone=2)
    others = [make_spec(data, tmp_path / name, name=name, epochs=1) for name in "bcd"]
    start_trials(first, store, [[shared]])
    wait_for(lambda: len(files(folder, "epoch-2-*")) == 1)
    futures = start_trials(second, store, [[shared], *([spec] for spec in others)])
    assert [reports[-1]["objective"] for _, reports in get(futures[1:])] == [0.5] * 3
    wait_for(lambda: second.statistics().get("elsewhere") == 1)
    assert second.statistics()["idle"] == 1, "its worker is free while it waits"
    first.close()
    (folder / GO_ON).touch()
    ((_, reports),) = get(futures[:1])
    assert reports[-1]["objective"] == 0.5
    assert [record["epoch"] for report in reports for record in report["records"]] == [1, 2, 3, 4]
    assert len(files(folder, "start-*")) == 2
    assert len(files(folder, "epoch-1-*")) == 1, "what a checkpoint holds is not computed again"
