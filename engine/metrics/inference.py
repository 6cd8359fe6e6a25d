"""What differences over seeds show: tests, their correction for a family, and what so many seeds can show at all.

The rule of a starred claim, by which all of it goes (``is_shown``), asks two tests. The t test, with Holm's correction
over the family, trusts that noise is normal, which two seeds with the same error, or one network that dies, are not.
The sign-flip test trusts only that noise is as likely up as down; its p must have its share of the level, ``LEVEL`` by
the number of comparisons, so that a star is exact. Where so few seeds cannot have that, it must be the least that they
can have, 2/2ⁿ, if that is ``LEVEL`` at most: then the t test carries the correction.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.metrics.statistics import finite, paired_difference

LEVEL = 0.05
"""How often a family without any effect may have a starred claim."""
POWER = 0.8
"""How often the smallest effect that is stated is found."""
SURE = 0.7
"""How sure the limit is by which the spread of some seeds is judged."""

_EXACT = 14
"""Seeds up to which all flips of signs are counted; of more as many are drawn."""
_DRAWN = 4000
_MARGIN = 0.04
"""By how much more often than ``POWER`` an effect must be found in normal noise: real noise has longer tails."""
_FEW = 10
"""Seeds up to which that many are drawn; of more a quarter."""
_ROUNDING = 1e-9
_STEPS = 9
_FROZEN_BY_PYTHON = 1000
"""Objects that may be frozen although nobody has frozen any: Python 3.12 begins with some hundreds."""


@dataclass(frozen=True)
class Evidence:
    """What differences, one a seed, say of their mean.

    Attributes:
        values: the differences.
        mean: of them.
        low: lower end of the 95 % t interval; NaN with fewer than two.
        high: upper end.
        t_p: p-value of the t test that the mean is 0; 1 with fewer than two.
        sign_flip_p: that of the exact sign-flip test.
        effect_size: mean by standard deviation; NaN with fewer than two, infinite where all are the same.
    """

    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    t_p: float
    sign_flip_p: float
    effect_size: float

    @property
    def n(self) -> int:
        """Return the number of seeds."""
        return len(self.values)

    @property
    def spread(self) -> float:
        """Return the standard deviation of the differences; NaN with fewer than two."""
        return statistics.stdev(self.values) if self.n > 1 else math.nan


def evidence(values: Sequence[float]) -> Evidence:
    """Return what differences, at least one, say of their mean.

    Raises:
        InputError: there is none, or one is NaN or infinite.
    """
    found = tuple(map(float, values))
    interval = paired_difference(found, [0.0] * len(found))
    spread = statistics.stdev(found) if len(found) > 1 else math.nan
    size = interval.mean / spread if spread else math.copysign(math.inf, interval.mean) if interval.mean else 0.0
    return Evidence(found, interval.mean, interval.low, interval.high, t_p(found), sign_flip_p(found), size)


def t_p(values: Sequence[float]) -> float:
    """Return the two-sided p-value of the t test that the mean is 0 (scipy); 1 with fewer than two values.

    Raises:
        InputError: a value is NaN or infinite.
    """
    from scipy.stats import ttest_1samp

    if len(finite(values)) < 2:
        return 1.0
    if len(set(values)) == 1:  # where nothing varies t is infinite, or 0 by 0
        return 0.0 if values[0] else 1.0
    return float(ttest_1samp(values, 0.0).pvalue)


def sign_flip_p(values: Sequence[float]) -> float:
    """Return the two-sided p-value of the sign-flip permutation test that the mean is 0 (scipy).

    All 2ⁿ ways to turn the differences round are counted, of more than 2¹⁴ as many drawn, by a fixed seed. 1 with fewer
    than two values.

    Raises:
        InputError: a value is NaN or infinite, of which no flip would be as large as what was found.
    """
    import numpy as np
    from scipy.stats import permutation_test

    if len(finite(values)) < 2:
        return 1.0
    n_flips = 2 ** min(len(values), _EXACT) - (len(values) > _EXACT)
    unit = _ROUNDING * max(map(abs, values))

    def mean(flipped: Any, axis: int) -> Any:
        return np.rint(np.mean(flipped, axis=axis) / unit)  # what is as far but for rounding is a tie

    if not unit:
        return 1.0
    found = permutation_test(
        (np.asarray(values),),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_flips,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def spread_limit(values: Sequence[float]) -> float:
    """Return an upper limit of the standard deviation that values come from, with ``SURE`` confidence (scipy).

    The spread of few values is as often too small as too large, and an effect that is stated by it would be found less
    often than ``POWER`` says; by this limit it is found as often, taken over studies.

    Raises:
        InputError: a value is NaN or infinite.
    """
    from scipy.stats import chi2

    if len(finite(values)) < 2:
        return math.inf
    freedom = len(values) - 1
    return statistics.stdev(values) * math.sqrt(freedom / float(chi2.ppf(1 - SURE, freedom)))


def least_sign_flip_p(n: int) -> float:
    """Return the least p-value that the sign-flip test can have with n seeds: 2/2ⁿ, and of many that of its draws."""
    return 2.0 / 2 ** min(n, _EXACT)


def seeds_for_a_claim(level: float = LEVEL) -> int:
    """Return the least number of seeds with which the sign-flip test can reach a level: 6 for 0.05."""
    return math.ceil(math.log2(2 / level))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values with Holm's correction over all of them (statsmodels)."""
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return ()
    with _left_uncollected():
        return tuple(multipletests(list(p_values), method="holm")[1].tolist())


@contextmanager
def _left_uncollected() -> Iterator[None]:
    """Keep what is there out of collections of garbage: statsmodels asks for one at every call, half a second here."""
    if gc.get_freeze_count() > _FROZEN_BY_PYTHON:  # somebody else's, which thawing would end
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def sign_flip_level(n: int, n_family: int) -> float:
    """Return what the sign-flip test's p must be at most for a star; 0 where n seeds are too few for any."""
    least = least_sign_flip_p(n)
    return max(LEVEL / n_family, least) if least <= LEVEL else 0.0


def is_shown(holm_p: float, sign_flip: float, n: int, n_family: int) -> bool:
    """Return whether a comparison is a starred claim: see above."""
    return holm_p <= LEVEL and sign_flip <= sign_flip_level(n, n_family) * (1 + _ROUNDING)


def family_bound(values: Sequence[float], n_family: int) -> float:
    """Return the largest effect, in either direction, that differences leave possible; infinite with fewer than two.

    It is the far end of the interval that holds with 95 % for all of a family together (Bonferroni).

    Args:
        values: the differences.
        n_family: comparisons of the family.
    """
    if len(values) < 2:
        return math.inf
    interval = paired_difference(values, [0.0] * len(values), confidence=1 - LEVEL / n_family)
    return max(abs(interval.low), abs(interval.high))


@cache
def smallest_effect(n: int, n_family: int) -> float:
    """Return the effect that n seeds show with ``POWER``, in standard deviations of a paired difference.

    It must be shown by the t test at its share of the level, ``LEVEL / n_family`` (Holm's first step, which asks the
    most), and by the sign-flip test at ``sign_flip_level``. How often both do is found by drawing normal differences,
    with a fixed seed; infinite where so few seeds show nothing, whatever the effect.

    Args:
        n: seeds.
        n_family: comparisons of the family, ≥ 1.
    """
    from statsmodels.stats.power import TTestPower

    if least_sign_flip_p(n) > LEVEL:
        return math.inf
    low = float(TTestPower().solve_power(nobs=n, alpha=LEVEL / n_family, power=POWER))
    high = 2 * low
    wanted = POWER + _MARGIN
    while _share_shown(high, n, n_family) < wanted:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _share_shown(middle, n, n_family) >= wanted else (middle, high)
    return high


def _share_shown(effect: float, n: int, n_family: int) -> float:
    """Return how often both tests show an effect, of normal differences."""
    import numpy as np
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    draws = rng.normal(size=(_n_draws(n), n)) + effect
    flips = _flips(n)
    by_t = ttest_1samp(draws, 0.0, axis=1).pvalue <= LEVEL / n_family
    sums = np.abs(draws[by_t] @ flips.T)
    as_large = sums >= np.abs(draws[by_t].sum(axis=1, keepdims=True)) * (1 - 1e-9)
    least = float((np.abs(flips.sum(axis=1)) == n).mean())  # what the largest effect has of these flips
    level = max(sign_flip_level(n, n_family), least) * (1 + _ROUNDING)
    return float((as_large.mean(axis=1) <= level).sum() / len(draws))


def _n_draws(n: int) -> int:
    return _DRAWN if n <= _FEW else _DRAWN // 4


@cache
def _flips(n: int):  # type: ignore[no-untyped-def]
    """Return signs to turn n differences round by, ``(k, n)``: all that differ by more than a sign, or 2¹² drawn."""
    import numpy as np

    if n <= _FEW + 2:
        numbers = np.arange(2 ** (n - 1))
        return 1.0 - 2.0 * ((numbers[:, None] >> np.arange(n)) & 1)
    return np.vstack([np.ones(n), np.random.default_rng(1).choice((-1.0, 1.0), size=(2**12 - 1, n))])
