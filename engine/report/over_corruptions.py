"""Arms by one number over many corruptions: interquartile means, and how probably one errs less than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.metrics.aggregates import Aggregate, interquartile_mean, probability_of_improvement
from engine.report.comparisons import compared_pairs
from engine.report.groups import GroupSummary
from engine.report.results import Results
from engine.report.text_tables import Table

MANY = 4
"""Corruptions from which on quartiles of them say something."""
MOST_PAIRS = 20
"""Pairs whose probability of improvement is computed, at most: each takes a tenth of a second."""
_INTERVALS = (
    "Stratified bootstrap: every corruption draws seeds for itself, which is too narrow where a network is better or "
    "worse under all of them; with seeds drawn whole that is counted. Both are 95 % intervals, explored and not tested"
)


@dataclass(frozen=True)
class OverCorruptions:
    """What groups come to over all corruptions that were tested.

    Attributes:
        n: number of corruptions; an error is the mean over a corruption's severities.
        means: {group: interquartile mean of its errors over corruptions and seeds, a fraction}.
        pairs: {(group, other): probability that a seed of the group errs less than one of the other}: what is declared
            of two arms, then groups against controls.
        counts: {group: how many of its seeds there are, and how many networks are dead}.
        n_left_out: pairs beyond ``MOST_PAIRS``.
    """

    n: int
    means: dict[str, Aggregate]
    pairs: dict[tuple[str, str], Aggregate]
    counts: dict[str, str]
    n_left_out: int = 0


def over_corruptions(results: Results, groups: Sequence[GroupSummary]) -> OverCorruptions | None:
    """Return interquartile means and probabilities of improvement; None of fewer corruptions than ``MANY``."""
    tested = results.tested
    if len(tested) < MANY:
        return None
    errors = {group.name: [group.values(name) for name in tested] for group in groups if group.trials}
    pairs = [*_declared_pairs(results), *((one.name, other.name) for one, other in compared_pairs(results, groups))]
    pairs = list(dict.fromkeys(pairs))
    known = [pair for pair in pairs if all(name in errors for name in pair)]
    return OverCorruptions(
        len(tested),
        {name: interquartile_mean(of) for name, of in errors.items()},
        {(one, other): probability_of_improvement(errors[one], errors[other]) for one, other in known[:MOST_PAIRS]},
        {group.name: group.count for group in groups},
        len(known[MOST_PAIRS:]),
    )


def _declared_pairs(results: Results) -> list[tuple[str, str]]:
    """Return (arm, what it is compared with) of the declared comparisons that are of two arms."""
    found = []
    for contrast in results.space.family:
        arms = {weight: name for name, weight in contrast.weights.items()}
        if len(contrast.weights) == 2 and set(arms) == {1.0, -1.0}:
            found.append((arms[1.0], arms[-1.0]))
    return found


def means_table(found: OverCorruptions) -> Table:
    """Return the interquartile mean of every group."""
    rows = [(name, found.counts[name], *_cells(one, scale=100, digits=1)) for name, one in found.means.items()]
    title = f"Interquartile mean of the test errors in %, over {found.n} corruptions and all seeds"
    columns = ("", "seeds", "middle half", "stratified bootstrap", "seeds drawn whole")
    caption = f"A quarter of all errors is cut off at each end. {_INTERVALS}."
    return Table(title, columns, rows, align="lrrrr", caption=caption)


def improvement_table(found: OverCorruptions) -> Table | None:
    """Return the probability of improvement of every pair; None where nothing is compared."""
    if not found.pairs:
        return None
    rows = [
        (f"{one} over {other}", f"{found.counts[one]}; {found.counts[other]}", *_cells(of, scale=1, digits=2))
        for (one, other), of in found.pairs.items()
    ]
    title = f"Probability of improvement: that a seed errs less than one of the other, mean over {found.n} corruptions"
    more = f"; {found.n_left_out} more pairs were not computed" if found.n_left_out else ""
    columns = ("", "seeds", "probability", "stratified bootstrap", "seeds drawn whole")
    caption = f"0.5: neither is better; how much better it does not say. {_INTERVALS}{more}."
    return Table(title, columns, rows, align="lrrrr", caption=caption)


def _cells(one: Aggregate, *, scale: float, digits: int) -> list[str]:
    ends = (one.low, one.high), (one.seeds_low, one.seeds_high)
    return [
        f"{scale * one.value:.{digits}f}",
        *("–" if math.isnan(low) else f"[{scale * low:.{digits}f}, {scale * high:.{digits}f}]" for low, high in ends),
    ]
