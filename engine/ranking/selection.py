"""Which filters of a ranking are chosen."""

from __future__ import annotations

import math

import torch

from engine.errors import InputError, unknown_name
from engine.ranking.rankings import FilterRanking
from engine.seeds import generator

WHICH = ("most", "least", "random", "all", "none")


def n_selected(n_filters: int, *, fraction: float | None = None, count: int | None = None) -> int:
    """Return how many filters a fraction or a count selects of a layer: 1…``n_filters``.

    A fraction gives ⌊fraction·f + ½⌋: the nearest whole number, halves upwards.

    Raises:
        InputError: not exactly one of the two is given, a fraction is outside (0, 1] or selects no filter, or a count
            is outside 1…f.
    """
    if (fraction is None) == (count is None):
        raise InputError(f"give exactly one of `fraction` and `count`, got fraction={fraction} and count={count}")
    if fraction is not None and not 0 < fraction <= 1:
        raise InputError(f"`fraction` must be in (0, 1], got {fraction}; for no filter at all say which='none'")
    selected = n_asked(n_filters, fraction=fraction, count=count)
    if fraction is not None and selected < 1:
        raise InputError(
            f"`fraction` {fraction} of the layer's {n_filters} filters selects none; "
            f"give {1 / n_filters:.3g} or more, or count=1"
        )
    if fraction is None and (count != selected or not 1 <= selected <= n_filters):
        raise InputError(f"`count` must be a whole number from 1 to the layer's {n_filters} filters, got {count}")
    return selected


def n_asked(n_filters: int, *, fraction: float | None = None, count: int | None = None) -> int:
    """Return how many filters a fraction or a count asks for, whether the layer has so many or not."""
    return int(count or 0) if fraction is None else math.floor(fraction * n_filters + 0.5)


def select_filters(
    ranking: FilterRanking,
    *,
    fraction: float | None = None,
    count: int | None = None,
    threshold: float | None = None,
    which: str,
    seed: int | None = None,
) -> torch.Tensor:
    """Return the indices of the selected filters, int64, best first.

    Args:
        ranking: of one layer's filters.
        fraction: share of the filters, in (0, 1]; its rounding is ``n_selected``'s.
        count: number of filters, 1…f.
        threshold: mean distance, ≥ 0, that a filter must exceed; it may select none. "least" and "random" then take
            as many filters as "most" does, so that they are controls of the same size.
        which: "most" affected, "least" affected (the least first), "random" (in the order drawn), "all" (in the
            ranking's order), "none". "all" and "none" need no size, and a size changes nothing.
        seed: of the random choice; needed for "random" only. Give each layer its own.

    Raises:
        InputError: an unknown ``which``, a size that is missing, doubled or out of range, or no seed for "random".
    """
    if which not in WHICH:
        raise unknown_name("choice of filters", which, WHICH)
    sizes = {"fraction": fraction, "count": count, "threshold": threshold}
    given = [name for name, size in sizes.items() if size is not None]
    if len(given) > 1 or (not given and which not in ("all", "none")):
        got = " and ".join(given) or "none of them"
        raise InputError(f"give exactly one of `fraction`, `count` and `threshold`, got {got}")
    chosen = _n_chosen(ranking, fraction, count, threshold) if given else 0
    if which == "none":
        return ranking.order[:0].clone()
    if which == "all":
        return ranking.order.clone()
    if which == "random":
        if seed is None:
            raise InputError("`seed` is needed for which='random'")
        return torch.randperm(ranking.n_filters, generator=generator(seed, "select filters"))[:chosen]
    if which == "least":
        return ranking.order.flip(0)[:chosen]
    if threshold is not None:
        return ranking.order[ranking.mean_distance[ranking.order] > threshold]
    return ranking.order[:chosen].clone()


def _n_chosen(ranking: FilterRanking, fraction: float | None, count: int | None, threshold: float | None) -> int:
    if threshold is None:
        return n_selected(ranking.n_filters, fraction=fraction, count=count)
    if not (math.isfinite(threshold) and threshold >= 0):
        raise InputError(f"`threshold` must be a mean distance, finite and ≥ 0, got {threshold}")
    return int((ranking.mean_distance > threshold).sum())
