"""What errors of stages mean: for the trial, or for the machines."""

import errno
import runpy

import pytest
import torch

from engine.errors import InputError
from engine.orchestration.cluster import stage_failures
from engine.orchestration.cluster.stage_failures import failure_of
from engine.stages import MissingInputError
from engine.stages.prepared import MissingDataError
from engine.store import CorruptArtifactError
from engine.store.attempts import StoreFaultError
from engine.training import TrainingDivergedError

KEY = "a" * 32


def store_fault(cause: Exception) -> StoreFaultError:
    error = StoreFaultError(f"the store failed while writing: {cause}")
    error.__cause__ = cause
    return error


def caused_by(cause: Exception) -> RuntimeError:
    error = RuntimeError("a user's stage could not go on")
    error.__cause__ = cause
    return error


def meaning(error: Exception) -> set[str]:
    """Return what is said of a stage's error beside its reason."""
    return {name for name, value in failure_of("rank", KEY, error).items() if name != "reason" and value}


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (TrainingDivergedError("loss became nan"), {"lasting"}),
        (InputError("a filter is needed"), {"lasting"}),
        (RuntimeError("a fault of the stage"), set()),
        (FileNotFoundError(errno.ENOENT, "No such file", "table.csv"), set()),
        (MissingInputError("b" * 32, "cleaned up"), {"missing", "infrastructure"}),
        (CorruptArtifactError("cleaned up"), {"missing", "infrastructure"}),
        (MissingDataError("no data set"), {"infrastructure"}),
        (MemoryError(), {"out_of_memory", "infrastructure"}),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), {"out_of_memory", "infrastructure"}),
        (torch.AcceleratorError("CUDA error: out of memory", 2), {"out_of_memory", "infrastructure"}),
        (RuntimeError("CUDA driver error: out of memory"), {"out_of_memory", "infrastructure"}),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …"), {"out_of_memory", "infrastructure"}),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when …"), {"out_of_memory", "infrastructure"}),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), {"out_of_memory", "infrastructure"}),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
            {"out_of_memory", "infrastructure"},
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            {"out_of_memory", "infrastructure"},
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), {"out_of_memory", "infrastructure"}),
        (caused_by(torch.cuda.OutOfMemoryError("CUDA out of memory")), {"out_of_memory", "infrastructure"}),
        (ValueError("a model that speaks of being out of memory"), set()),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error", 214), {"infrastructure", "broken"}),
        (store_fault(OSError(errno.ENOSPC, "No space left on device")), {"infrastructure"}),
        (store_fault(RuntimeError("I/O error: File exists (os error 30)")), {"infrastructure"}),
        (store_fault(OSError(errno.ESTALE, "Stale file handle")), {"infrastructure", "passing"}),
        (store_fault(TimeoutError("the bucket")), {"infrastructure", "passing"}),
        (OSError(errno.EIO, "Input/output error"), {"infrastructure", "passing"}),
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), {"infrastructure", "passing"}),
    ],
    ids=lambda value: str(value) if isinstance(value, Exception) else "",
)
def test_what_an_error_means(error: Exception, means: set[str]) -> None:
    assert meaning(error) == means
    assert failure_of("rank", KEY, error)["reason"]


def test_a_system_without_linux_s_own_numbers_has_the_others(monkeypatch) -> None:
    monkeypatch.delattr(errno, "EREMOTEIO")  # as on macOS
    elsewhere = runpy.run_path(str(stage_failures.__file__))["failure_of"]
    assert elsewhere("rank", KEY, OSError(errno.EIO, "Input/output error"))["passing"]
