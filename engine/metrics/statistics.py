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
        InputError: the two differ in length, or are empty.
    """
    if len(a) != len(b) or not a:
        raise InputError(f"paired values must be as many on both sides and at least one, got {len(a)} and {len(b)}")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return PairedDifference(mean, math.nan, math.nan, len(differences))
    from scipy.stats import t  # not `ttest_rel`: it knows no interval where all differences are the same

    standard_error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = float(t.ppf((1 + confidence) / 2, len(differences) - 1)) * standard_error
    return PairedDifference(mean, mean - half, mean + half, len(differences))
