"""Means over seeds, and differences that are paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputError


@dataclass(frozen=True)
class PairedDifference:
    """The mean of differences a − b that are paired by seed, with a two-sided t interval.

    Attributes:
        mean: mean difference.
        low: lower end of the interval; NaN with fewer than two pairs.
        high: upper end.
        n: number of pairs.
    """

    mean: float
    low: float
    high: float
    n: int


def paired_difference(a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95) -> PairedDifference:
    """Return the mean of a − b with its Student t interval (scipy).

    Raises:
        InputError: the two differ in length, are empty, or hold NaN or infinite values.
    """
    if len(a) != len(b) or not a:
        raise InputError(f"paired values must be as many on both sides and at least one, got {len(a)} and {len(b)}")
    differences = [x - y for x, y in zip(finite(a), finite(b), strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return PairedDifference(mean, math.nan, math.nan, len(differences))
    from scipy.stats import t  # not `ttest_rel`: it knows no interval where all differences are the same

    standard_error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = float(t.ppf((1 + confidence) / 2, len(differences) - 1)) * standard_error
    return PairedDifference(mean, mean - half, mean + half, len(differences))


def finite(values: Sequence[float]) -> Sequence[float]:
    """Return values as they are: no mean, order or test of them says anything where one is NaN or infinite.

    Raises:
        InputError: one is.
    """
    odd = next((value for value in values if not math.isfinite(value)), None)
    if odd is not None:
        raise InputError(f"what is compared over seeds must be finite, got {odd} among {len(values)} values")
    return values
