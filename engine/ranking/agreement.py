"""How far two rankings of the same filters agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.errors import InputError
from engine.ranking.rankings import FilterRanking
from engine.ranking.selection import n_selected


@dataclass(frozen=True)
class Agreement:
    """Agreement of two rankings.

    Args:
        matches: how many filters are among the most affected in both.
        n_selected: out of how many.
        by_chance: matches to expect of a random choice, n_selected²/f.
        jaccard: matches over the filters that are among the most affected in either: 0…1.
        rank_correlation: Spearman's, of the positions in the two orders: −1…1; None with a single filter.
    """

    matches: int
    n_selected: int
    by_chance: float
    jaccard: float
    rank_correlation: float | None


def compare_rankings(
    ranking: FilterRanking, other: FilterRanking, *, fraction: float | None = None, count: int | None = None
) -> Agreement:
    """Return how far two rankings agree, on the most affected filters and over all of them.

    Source: Bianchi et al. 2019, Table 1, counts the matches.

    Args:
        ranking: of one layer.
        other: of the same layer.
        fraction: share of the filters that counts as the most affected; see ``n_selected``.
        count: or their number.
    """
    if ranking.n_filters != other.n_filters:
        raise InputError(f"rankings of {ranking.n_filters} and {other.n_filters} filters are not of the same layer")
    n_filters = ranking.n_filters
    taken = n_selected(n_filters, fraction=fraction, count=count)
    matches = len(set(ranking.order[:taken].tolist()) & set(other.order[:taken].tolist()))
    return Agreement(
        matches=matches,
        n_selected=taken,
        by_chance=taken**2 / n_filters,
        jaccard=matches / (2 * taken - matches),
        rank_correlation=_rank_correlation(ranking.order, other.order),
    )


def _rank_correlation(order: torch.Tensor, other: torch.Tensor) -> float | None:
    """Return Spearman's correlation of two permutations: 1 − 6 Σ d² / (f (f² − 1)), d the differences in position."""
    n_filters = len(order)
    if n_filters < 2:
        return None
    apart = order.argsort() - other.argsort()
    return 1 - 6 * int(apart.square().sum()) / (n_filters * (n_filters**2 - 1))
