"""A worker's device: that it answers, how much memory it may have, and what a failure leaves of it."""

import gc
import weakref

import pytest
import torch

from engine.orchestration.cluster.worker_device import WorkerDevice, forget_frames
from tests.engine.pretend_device import pretend_device

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
