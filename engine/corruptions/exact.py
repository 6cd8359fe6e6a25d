"""Exponentials rounded correctly: the same bits on every machine.

Those of numpy and of C libraries are right but for the last bit, which differs between their versions and between
processors. A corruption's weights are few, so that they can be computed in decimals, whose exponential is exact to the
last of as many digits as are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal

import numpy as np

_DECIMALS = Context(prec=50)
_SMALLEST = -746.0
"""Below it exponentials are 0 in float64."""


def exp(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the exponentials of numbers ≤ 700, float64 (n,), each the nearest to the true one."""
    return np.array([_exp(float(value)) for value in values])


def _exp(value: float) -> float:
    return float(Decimal(value).exp(_DECIMALS)) if value > _SMALLEST else 0.0


def poisson_masses(means: np.ndarray, n_counts: int) -> np.ndarray:
    """Return P(count = k) of Poisson distributions, float64 (means, n_counts), by operations that round correctly.

    Each distribution's largest mass is computed in decimals, and from it the next ones up and down by their ratios.

    Args:
        means: float64 (m,), ≥ 0.
        n_counts: k = 0 … n_counts − 1; above every mean.
    """
    modes = means.astype(np.int64)
    rows = np.arange(len(means))
    masses = np.zeros((len(means), n_counts))
    masses[rows, modes] = _masses_at(means.tolist(), modes.tolist())
    for count in range(1, n_counts):
        above = count > modes
        masses[above, count] = masses[above, count - 1] * means[above] / count
    for count in range(int(np.max(modes, initial=0)) - 1, -1, -1):
        below = count < modes
        masses[below, count] = masses[below, count + 1] * (count + 1) / means[below]
    return masses


def _masses_at(means: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Return P(count) of each mean's Poisson distribution."""
    factorials = [Decimal(1)]
    for count in range(1, max(counts, default=0) + 1):
        factorials.append(_DECIMALS.multiply(factorials[-1], Decimal(count)))
    found = []
    for mean, count in zip(map(Decimal, means), counts, strict=True):
        powers = _DECIMALS.multiply(_DECIMALS.power(mean, count) if count else Decimal(1), _DECIMALS.exp(-mean))
        found.append(float(_DECIMALS.divide(powers, factorials[count])))
    return found
