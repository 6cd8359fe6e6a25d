"""NVIDIA's multi-process service (MPS): by it the kernels of several processes run on one GPU at once, not by turns.

A private Ray may start it for its own workers, in folders of its own; machines of a cluster start it themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from engine.errors import InputError
from engine.orchestration.cluster.slots import SlotPlan

_CONTROL = "nvidia-cuda-mps-control"
_PIPES = "CUDA_MPS_PIPE_DIRECTORY"
_LOGS = "CUDA_MPS_LOG_DIRECTORY"
_ANSWER_S = 20.0


def check_mps(slots: SlotPlan, *, is_private: bool) -> None:
    """Check that MPS can be started for some slots, as far as that is known before.

    Raises:
        InputError: it cannot, or would change nothing.
    """
    if not is_private:
        raise InputError("--mps is for this machine alone: machines of a cluster start it as their file says")
    if not 0 < slots.gpus < 1:
        raise InputError(f"--mps is for slots that share a GPU, such as --gpus-per-slot 0.25, got {slots.gpus:g} each")
    if shutil.which(_CONTROL) is None:
        raise InputError(f"--mps needs NVIDIA's {_CONTROL}, which is not on this machine's PATH")


@contextmanager
def mps() -> Iterator[None]:
    """Have processes that are started meanwhile, and their own, use a GPU together through MPS.

    Raises:
        InputError: it cannot be started; the sentence has what it says.
    """
    with tempfile.TemporaryDirectory(prefix="robustune-mps-") as folder, patch.dict(os.environ):
        os.environ[_PIPES], os.environ[_LOGS] = f"{folder}/pipes", f"{folder}/logs"
        for name in (_PIPES, _LOGS):
            Path(os.environ[name]).mkdir()
        _control("-d")
        try:
            yield
        finally:
            _control(said="quit\n")


def described(slots: SlotPlan, *, by_mps: bool) -> str:
    """Return how slots share GPUs, to be added to the line that says what a sweep runs on; "" where they do not."""
    if not 0 < slots.gpus < 1:
        return ""
    if by_mps:
        return f"; slots share a GPU through MPS, each at most {slots.gpus:.0%} of its memory"
    return (
        f"; slots share a GPU by turns, each at most {slots.gpus:.0%} of its memory (at once through MPS: --mps on one "
        "machine, the cluster's file on several)"
    )


def _control(*arguments: str, said: str = "") -> None:
    try:
        subprocess.run(
            [_CONTROL, *arguments], input=said, capture_output=True, text=True, timeout=_ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", "") or error).strip().partition("\n")[0]
        raise InputError(f"MPS cannot be {'started' if not said else 'ended'} ({_CONTROL}): {told}") from error
