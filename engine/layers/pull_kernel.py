"""The pull kernel: its size, and the upsampling that makes it from the push kernel."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

from engine.errors import InputError

_MOST_STEPS = 2**27


def check_h(h: object) -> float:
    """Return the upsampling factor as a float, or raise ``InputError`` unless it is a finite number ≥ 1."""
    if isinstance(h, bool) or not isinstance(h, Real) or not math.isfinite(h) or h < 1:
        raise InputError(f"`h` must be a finite number ≥ 1, got {h!r}")
    return float(h)


def pull_size(s: int, h: float) -> int:
    """Return the side ŝ = ⌊s·h⌋ + 1 − (⌊s·h⌋ mod 2) of the pull kernel (push–pull paper, section 3.1).

    The factor acts only through this number, which is odd. At h = 1 it is ``s`` itself, for even sides too. A product
    that misses an integer by rounding alone counts as that integer.

    Args:
        s: side of the push kernel in pixels, ≥ 1; odd where h > 1.
        h: upsampling factor, ≥ 1.

    Raises:
        InputError: a value out of its range, or an even side with h > 1: its pull kernel could not be centred.
    """
    h = check_h(h)
    if isinstance(s, bool) or not isinstance(s, int) or s < 1:
        raise InputError(f"the side of a kernel must be an integer ≥ 1, got {s!r}")
    if h == 1:
        return s
    if s % 2 == 0:
        raise InputError(
            f"`h` > 1 needs kernels with odd sides, got side {s} with h = {h:g}; use h = 1 or an odd kernel"
        )
    stretched = math.floor(round(s * h, 9))
    return stretched + 1 - stretched % 2


def interpolation_steps(s: int, stretched: int) -> tuple[Tensor, int]:
    """Return integers N (stretched, s) and d, so that N / d interpolates s samples linearly with aligned corners.

    Row i weighs the samples by how near they are to position i·(s − 1)/(stretched − 1). All entries are at most d, and
    d is as small as can be, so that N is exact in low-precision float types too.
    """
    common = math.gcd(s - 1, stretched - 1)
    step, divisor = (s - 1) // common if common else 0, (stretched - 1) // common if common else 1
    position = torch.arange(stretched, device="cpu")[:, None] * step
    distance = (position - torch.arange(s, device="cpu") * divisor).abs()
    return (divisor - distance).clamp(min=0), divisor


def upsampling_steps(size: tuple[int, int], stretched: tuple[int, int]) -> tuple[Tensor, int]:
    """Return integers N (s·s, ŝ·ŝ) and d, so that k N / d upsamples flattened kernels k (…, s·s) bilinearly.

    Raises:
        InputError: N would take gigabytes.
    """
    if math.prod(size) * math.prod(stretched) > _MOST_STEPS:
        raise InputError(
            f"`h` makes pull kernels of {stretched[0]:,}×{stretched[1]:,} of kernels of {size[0]}×{size[1]}: "
            "more than can be computed with; choose a smaller one"
        )
    rows, row_divisor = interpolation_steps(size[0], stretched[0])
    columns, column_divisor = interpolation_steps(size[1], stretched[1])
    return torch.kron(rows, columns).T.contiguous(), row_divisor * column_divisor
