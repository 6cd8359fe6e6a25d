"""One number over many corruptions: the interquartile mean, and the probability of improvement, with intervals.

After Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice (NeurIPS 2021), as their
rliable does, with corruptions for tasks and seeds for runs. One corruption that a network fails under, or one seed that
is an exception, moves a mean; of the interquartile mean it is cut off.

Intervals are of a bootstrap, twice. Stratified, as theirs: every corruption draws seeds of its own. That takes the
errors of one network under two corruptions for unrelated; where a network is better or worse under all of them, the
interval is too narrow. So there is one that draws seeds whole, too, each with its errors under all corruptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError
from engine.metrics.statistics import finite

CUT = 0.25
"""The share that is cut off at each end of all errors together."""
_DRAWS = 1000

Errors = Sequence[Sequence[float]]
"""For each corruption the error of every seed, all of them in one order."""
_Statistic = Callable[..., Any]


@dataclass(frozen=True)
class Aggregate:
    """A number over corruptions and seeds, with two 95 % intervals; NaN where there are fewer than two seeds.

    Attributes:
        value: the number.
        low: lower end of the stratified bootstrap's interval.
        high: its upper end.
        seeds_low: lower end of the interval where seeds are drawn whole.
        seeds_high: its upper end.
    """

    value: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float


def interquartile_mean(errors: Errors) -> Aggregate:
    """Return the mean of the middle half of all errors (scipy), fractions as they are.

    Args:
        errors: for each corruption the error of every seed.

    Raises:
        InputError: there are none, not as many under every corruption, or one is no finite number.
    """
    found = _checked(errors)
    return _aggregate(_trimmed, [found])


def probability_of_improvement(errors: Errors, of_others: Errors) -> Aggregate:
    """Return how probably a seed errs less than one of the others (scipy's U statistic): the mean over corruptions.

    Equal errors count half. Seeds are not paired: 0.5 is what two alike come to.

    Args:
        errors: for each corruption the error of every seed.
        of_others: the same of those compared with, under the same corruptions; the seeds may be others.

    Raises:
        InputError: there are none, not as many under every corruption, one is no finite number, or the corruptions are
            not as many.
    """
    mine, theirs = _checked(errors), _checked(of_others)
    if len(mine) != len(theirs):
        raise InputError(f"both must have errors under the same corruptions, got {len(mine)} and {len(theirs)} of them")
    return _aggregate(lambda samples: _improved(samples[: len(mine)], samples[len(mine) :]), [mine, theirs])


def _checked(errors: Errors) -> list[Any]:
    """Return an array of seeds for each corruption."""
    import numpy as np

    counts = {len(of) for of in errors}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"every corruption needs the errors of the same seeds, got {sorted(counts) or 'none'} of them")
    return [np.asarray(finite(of), dtype=float) for of in errors]


def _aggregate(statistic: _Statistic, groups: Sequence[list[Any]]) -> Aggregate:
    """Return a statistic of some groups' errors, and its intervals."""
    import numpy as np

    every = [of for group in groups for of in group]
    value = float(statistic(every))
    if min(map(len, every)) < 2:
        return Aggregate(value, math.nan, math.nan, math.nan, math.nan)

    def of_seeds(*drawn: Any, axis: int) -> Any:
        return statistic([of[seeds] for group, seeds in zip(groups, drawn, strict=True) for of in group])

    stratified = _interval(every, lambda *samples, axis: statistic(list(samples)), value)
    whole = _interval([np.arange(len(group[0])) for group in groups], of_seeds, value)
    return Aggregate(value, *stratified, *whole)


def _interval(samples: Sequence[Any], statistic: _Statistic, value: float) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic, each sample drawn for itself."""
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap(
        samples,
        statistic,
        n_resamples=_DRAWS,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (value, value) if math.isnan(low) else (low, high)


def _trimmed(samples: Sequence[Any]) -> Any:
    import numpy as np
    from scipy.stats import trim_mean

    return trim_mean(np.concatenate(samples, axis=-1), CUT, axis=-1)


def _improved(mine: Sequence[Any], theirs: Sequence[Any]) -> Any:
    import numpy as np
    from scipy.stats import mannwhitneyu

    with np.errstate(all="ignore"):  # of p-values, which nobody asks for here
        wins = [
            mannwhitneyu(other, one, axis=-1, method="asymptotic").statistic / (one.shape[-1] * other.shape[-1])
            for one, other in zip(mine, theirs, strict=True)
        ]
    return np.mean(wins, axis=0)
