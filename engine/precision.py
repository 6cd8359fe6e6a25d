"""How exactly networks compute: the numbers of their layers, and whether kernels of a GPU are to repeat to the bit.

What is set here holds for the passes of networks alone. Losses, weights, optimisers, corruptions, distances and
statistics are of 32 bits and more whatever the precision.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, get_args

import torch
from torch import Tensor

from engine.errors import InputError, unknown_name

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE = ":4096:8"
"""The workspace with which cuBLAS repeats its sums to the bit."""

_current: ContextVar[str] = ContextVar("precision", default="fp32")


def check_precision(precision: str, device: str) -> None:
    """Check that a kind of device can compute in a precision; of a GPU at hand, that it can itself.

    Args:
        precision: "fp32", "tf32" (a GPU rounds the factors of products to 10 bits) or "bf16" (layers' numbers have 8
            bits).
        device: its type, "cpu" or "cuda".

    Raises:
        InputError: an unknown precision, or one that it cannot.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if precision == "tf32" and device == "cpu":
        raise InputError("precision tf32 is for GPUs: on CPUs there are fp32 and bf16, got tf32 on cpu")
    if precision == "fp32" or device == "cpu" or not torch.cuda.is_available():
        return
    if torch.cuda.get_device_capability() < (8, 0):
        name = torch.cuda.get_device_name()
        raise InputError(f"precision {precision} needs a GPU of compute capability 8.0 or newer, got {name}: use fp32")


def make_repeatable() -> None:
    """Have cuBLAS repeat its sums to the bit, should it be asked to; before this process computes on a GPU."""
    os.environ.setdefault(_CUBLAS, _REPEATABLE)


@contextmanager
def computing_in(precision: str, device: str, *, strict: bool = False) -> Iterator[None]:
    """Have the passes of networks (``network_pass``) be of a precision meanwhile.

    Args:
        precision: as of ``check_precision``.
        device: type of the device that is computed on.
        strict: whether what a GPU would not repeat to the bit is refused.

    Raises:
        InputError: the device cannot, or it was computed on before cuBLAS was told to repeat its sums.
    """
    check_precision(precision, device)
    token = _current.set(precision)
    try:
        with _flags_of_cuda(precision, strict=strict) if device == "cuda" else nullcontext():
            yield
    finally:
        _current.reset(token)


@contextmanager
def _flags_of_cuda(precision: str, *, strict: bool) -> Iterator[None]:
    if strict and torch.cuda.is_initialized() and _CUBLAS not in os.environ:
        raise InputError(f"strict computing needs {_CUBLAS}={_REPEATABLE} in the environment before the process starts")
    make_repeatable()
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32, cudnn.deterministic, cudnn.benchmark
    was_strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.allow_tf32 = products.allow_tf32 = precision == "tf32"
    if strict:
        cudnn.deterministic, cudnn.benchmark = True, False
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        cudnn.allow_tf32, products.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
        torch.use_deterministic_algorithms(was_strict[0], warn_only=was_strict[1])


def current_precision() -> str:
    """Return the precision of networks' passes now."""
    return _current.get()


def network_pass(device: torch.device) -> AbstractContextManager[object]:
    """Within it a network computes in the precision that holds; what comes out is for ``in_full``."""
    if _current.get() != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def in_full(values: Tensor) -> Tensor:
    """Return what a network's pass has made as numbers that can be summed up: of 32 bits, where they were of 16."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
