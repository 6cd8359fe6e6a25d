"""A worker's device: that it answers, how much memory it may have, and what a failure leaves of it."""

import gc
import weakref

import pytest
import torch

from engine.data.device_sets import device_sets
from engine.orchestration.cluster.stage_worker import StageWorker
from engine.orchestration.cluster.worker_device import WorkerDevice, forget_frames
from engine.stages import StageSpec
from tests.engine.pretend_device import DEVICE, pretend_device

FAILURE = {"reason": "pretrain: RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"}


@pytest.fixture(autouse=True)
def device():
    with pretend_device():
        yield


@pytest.fixture
def asked(monkeypatch) -> list:
    """What was asked of the allocator."""
    calls: list = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", calls.append)
    return calls


def lose(monkeypatch) -> None:
    """Have all that is asked of the device fail, as after an illegal access."""

    def fail(*_, **__):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors …")

    monkeypatch.setattr(torch, "ones", fail)


def test_a_device_that_answers_has_no_fault_and_a_stage_s_failure_stays_what_it_is(asked) -> None:
    own = WorkerDevice("cuda", 1.0)
    assert own.fault() == ""
    assert own.after(FAILURE) == FAILURE
    assert asked == ["empty"], "what it held goes back before it is tried again"
    assert WorkerDevice("cpu", 0.0).after(FAILURE) == FAILURE


def test_an_error_that_stays_in_the_device_breaks_the_worker_whatever_it_was_called(asked, monkeypatch) -> None:
    own = WorkerDevice("cuda", 1.0)
    lose(monkeypatch)
    assert "does not answer: CUDA error: an illegal memory access was encountered" in own.fault()
    assert "\n" not in own.fault()
    for failure in (FAILURE, {**FAILURE, "out_of_memory": True}):
        found = own.after(failure)
        assert found["broken"]
        assert found["infrastructure"]
        assert "out_of_memory" not in found, "memory is not what it lacks"
        assert found["reason"].startswith(FAILURE["reason"])
    assert WorkerDevice("cpu", 0.0).fault() == "", "nobody asks for a GPU"


def test_a_share_of_a_gpu_is_a_share_of_its_memory_unless_the_worker_is_alone(asked) -> None:
    shared = WorkerDevice("cuda", 0.25)
    shared.limit_memory()
    shared.limit_memory(alone=True)
    WorkerDevice("cuda", 1.0).limit_memory()
    WorkerDevice("cpu", 0.0).limit_memory()
    assert asked == [0.25, 1.0]


def test_what_an_error_held_is_free_before_memory_is_given_back() -> None:
    class Held:
        pass

    seen = []

    def fail() -> None:
        held = Held()
        seen.append(weakref.ref(held))
        raise RuntimeError("out of memory")

    def run() -> None:
        try:
            fail()
        except RuntimeError as error:
            raise ValueError("a stage's own words") from error

    gc.disable()
    try:
        run()
    except ValueError as error:
        assert seen[0]() is not None, "as long as nobody forgets the frames"
        forget_frames(error)
        assert seen[0]() is None
    finally:
        gc.enable()


def test_a_stage_that_lacks_memory_which_sets_have_is_tried_again_once(asked, monkeypatch) -> None:
    monkeypatch.setenv("ROBUSTUNE_SETS_GB", "1")
    monkeypatch.setattr("engine.data.device_sets._of_device", {})
    sets, made = device_sets(DEVICE), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    sets.made("a", made.shape, lambda: made)
    worker, tried = StageWorker(store="", data={}, broker="", imports=(), device="cuda", threads=1), []
    worker._device, worker._store, worker._get_data, worker._broker = WorkerDevice("cuda", 1.0), None, None, None
    monkeypatch.setattr(worker, "ready", lambda: {"fault": ""})

    def fail(*given, **others):
        tried.append(given)
        sets.made("a", made.shape, lambda: made)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("engine.stages.obtain_stage", fail)
    spec = StageSpec("pretrain", 1, {}, {}, "", 0, {})
    assert worker.run(spec.to_json())["out_of_memory"]
    assert len(tried) == 2
    assert not WorkerDevice("cuda", 1.0).frees_for({"out_of_memory": True}), "none is kept any more"
