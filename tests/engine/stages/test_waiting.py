"""Two processes that want one stage of one store."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.stages import StageCancelledError, StageSpec, find_whole, obtain_stage, run_stage, runner
from engine.store import Store, claims
from engine.store.leases import stage_lease
from engine.training import TrainingDivergedError
from tests.engine.orchestration import counting_stage

PROGRAM = """
import json, sys, torch
from engine.stages import StageSpec, run_stage
from engine.store import Store
from tests.engine.orchestration import counting_stage
spec = StageSpec.from_json(json.loads(sys.argv[2]))
run_stage(spec, Store(sys.argv[1]), lambda key: None, device=torch.device("cpu"))
"""
ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def make_spec(folder: Path, **settings) -> StageSpec:
    folder.mkdir(exist_ok=True)
    values = {"folder": str(folder), "epochs": 4, "epoch_s": 0.25, **settings}
    return StageSpec("counting", 1, values, {}, "0" * 32, 0, {"device": "cpu"})


def start(store: Store, spec: StageSpec) -> subprocess.Popen:
    """Run the stage in another process; return once it is at work."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, store.root, json.dumps(spec.to_json())], cwd=ROOT)
    wait_for(lambda: n_files(spec, "start-*") == 1)
    return process


def n_files(spec: StageSpec, pattern: str) -> int:
    return len(list(Path(spec.settings["folder"]).glob(pattern)))


def wait_for(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def run(store: Store, spec: StageSpec, report=None):
    return run_stage(spec, store, lambda key: None, device=CPU, report=report)


def test_a_stage_that_another_process_computes_is_waited_for_and_followed(store, tmp_path):
    assert counting_stage.counting is not None
    spec = make_spec(tmp_path / "count")
    process = start(store, spec)
    heard = []
    waited_for, origin = obtain(store, spec, lambda record: heard.append(record["epoch"]) or True)
    assert process.wait(30) == 0
    assert origin == "elsewhere"
    assert waited_for.manifest["environment"]["process"] == process.pid
    assert n_files(spec, "start-*") == 1
    assert heard == sorted(set(heard)), "no epoch is told twice"
    assert heard, "at least one epoch's checkpoint was seen"
    assert set(heard) <= {1, 2, 3, 4}
    assert list((store.root / "leases" / "stages").iterdir()) == []


def test_a_killed_process_s_stage_is_taken_over_at_once_from_its_checkpoint(store, tmp_path):
    spec = make_spec(tmp_path / "count", epoch_s=0.5)
    process = start(store, spec)
    wait_for(lambda: n_files(spec, "epoch-2-*") == 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    started = time.monotonic()
    heard = []
    artifact = run(store, spec, lambda record: heard.append(record["epoch"]) or True)
    assert time.monotonic() - started < claims.DEAD_S / 4
    assert artifact.manifest["environment"]["process"] == os.getpid()
    assert n_files(spec, "epoch-1-*") == 1
    assert heard == [1, 2, 3, 4]


def test_a_stopped_process_s_stage_is_taken_over_when_its_heart_stops(store, tmp_path, monkeypatch):
    spec = make_spec(tmp_path / "count", epoch_s=0.3)
    process = start(store, spec)
    process.send_signal(signal.SIGSTOP)  # as if its machine had gone: the process exists, but shows no sign of life
    monkeypatch.setattr(claims, "DEAD_S", 1.0)
    artifact = run(store, spec)
    assert artifact.manifest["environment"]["process"] == os.getpid()
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0, "the duplicate does no harm"
    assert find_whole(store, spec.key).manifest == artifact.manifest


def test_the_wait_is_bounded(store, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MAX_WAIT_S", 0.3)
    spec = make_spec(tmp_path / "count", epochs=1, epoch_s=0.01)
    with stage_lease(store.root, spec.key, {}):
        artifact = run(store, spec)
    assert artifact.manifest["environment"]["process"] == os.getpid()


def test_a_waiting_stage_that_nobody_wants_any_more_is_given_up(store, tmp_path):
    spec = make_spec(tmp_path / "count")
    store.save_checkpoint(spec.key, 1, {"x": torch.tensor(1)}, {"epoch": 1, "history": [{"epoch": 1}]})
    with (
        stage_lease(store.root, spec.key, {}),
        pytest.raises(StageCancelledError, match="counting stopped while another process computed it"),
    ):
        run(store, spec, lambda record: False)


def test_the_checkpoints_of_a_stage_that_was_stopped_are_the_first_to_go_until_it_is_wanted_again(store, tmp_path):
    spec = make_spec(tmp_path / "count", epochs=3, epoch_s=0.0)
    with pytest.raises(StageCancelledError, match="counting stopped after epoch 2"):
        run(store, spec, lambda record: record["epoch"] < 2)
    assert [left.abandoned for left in store.unfinished()] == [True]
    heard = []
    with pytest.raises(RuntimeError, match="a killed worker"):
        run(store, spec, lambda record: heard.append(1) or die())
    assert [left.abandoned for left in store.unfinished()] == [False]


def die() -> bool:
    raise RuntimeError("a killed worker")


def test_a_training_that_diverged_leaves_nothing_to_go_on_from(store, tmp_path):
    spec = make_spec(tmp_path / "count", epochs=2, epoch_s=0.0, diverges=True)
    with pytest.raises(TrainingDivergedError):
        run(store, spec)
    assert store.latest_checkpoint(spec.key) is None


def test_who_gives_up_waiting_abandons_nothing(store, tmp_path):
    spec = make_spec(tmp_path / "count")
    store.save_checkpoint(spec.key, 1, {"x": torch.tensor(1)}, {"epoch": 1, "history": [{"epoch": 1}]})
    with stage_lease(store.root, spec.key, {}), pytest.raises(StageCancelledError):
        run(store, spec, lambda record: False)
    assert [left.abandoned for left in store.unfinished()] == [False]


def test_it_is_known_whence_an_artifact_is(store, tmp_path):
    spec = make_spec(tmp_path / "count", epochs=1, epoch_s=0.0)
    computed, origin = obtain(store, spec)
    assert origin == "computed"
    assert computed.manifest["environment"]["process"] == os.getpid()
    assert obtain(store, spec)[1] == "store"
    store.remove(spec.key)
    assert obtain(store, spec)[1] == "computed"


def obtain(store: Store, spec: StageSpec, report=None):
    return obtain_stage(spec, store, lambda key: None, device=CPU, report=report)


def test_a_stage_that_fails_leaves_no_lease(store, tmp_path):
    spec = make_spec(tmp_path / "count", epochs=1, epoch_s=0.0, fails=True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="it was told to"):
            run(store, spec)
    assert list((store.root / "leases" / "stages").iterdir()) == []


def test_the_lease_costs_little_beside_the_least_stage(store, tmp_path):
    times = []
    for number in range(20):
        lease = stage_lease(store.root, f"{number:032x}", {})
        begin = time.perf_counter()
        assert lease.acquire()
        lease.release()
        times.append(time.perf_counter() - begin)
    assert sorted(times)[10] < 0.02
