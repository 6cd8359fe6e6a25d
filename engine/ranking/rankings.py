"""The ranking of a layer's filters by how much a distortion affects them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.errors import InputError
from engine.ranking.elections import ELECTIONS, check_distances


@dataclass(frozen=True, eq=False)
class FilterRanking:
    """How affected each filter of a layer is.

    Args:
        points: ``(f,)`` scores by the rule: int64 Borda points; for a ranking without a vote the distances.
        mean_distance: ``(f,)`` float64, over the images.
        order: ``(f,)`` int64, the filters from the most to the least affected: by points, among equal points by mean
            distance, and among equal ones of these by the lower index.
        rule: the election rule's name; "distance" where there was no vote.
        n_images: how many images, or pairs of exemplars, it comes from.
    """

    points: torch.Tensor
    mean_distance: torch.Tensor
    order: torch.Tensor
    rule: str
    n_images: int

    @property
    def n_filters(self) -> int:
        """How many filters the layer has."""
        return len(self.order)


def rank_filters(distances: torch.Tensor, *, rule: str = "borda", top: int = 10) -> FilterRanking:
    """Return the ranking of a layer's filters.

    Args:
        distances: ``(n, f)``, images by filters, which vote; or ``(f,)``, the distances of the exemplars, which are
            sorted from the largest to the smallest without a vote (Bianchi et al. 2019, section 3.4).
        rule: a name in ``ELECTIONS``.
        top: how many filters get points from an image, for the rules that stop somewhere.

    Raises:
        InputError: an unknown rule, or distances that are empty or not finite.
    """
    election = ELECTIONS[rule]
    given = torch.as_tensor(distances)
    if given.ndim == 1:
        votes = check_distances(given[None])
        return make_ranking(votes[0], votes[0], rule="distance", n_images=1)
    votes = check_distances(given)
    return make_ranking(election(votes, top), votes.mean(dim=0), rule=rule, n_images=len(votes))


def make_ranking(points: torch.Tensor, mean_distance: torch.Tensor, *, rule: str, n_images: int) -> FilterRanking:
    """Return the ranking by ``points``, ties by ``mean_distance``, then by the lower index.

    Raises:
        InputError: they are not ``(f,)`` both, or hold NaN or infinite values, which have no place in an order.
    """
    if points.ndim != 1 or points.shape != mean_distance.shape:
        raise InputError(
            f"points and mean distances must be (f,) both, got {tuple(points.shape)} and {tuple(mean_distance.shape)}"
        )
    if not bool(points.isfinite().all() & mean_distance.isfinite().all()):
        raise InputError("what filters are ranked by holds NaN or infinite values; did the network diverge?")
    by_distance = mean_distance.argsort(descending=True, stable=True)
    order = by_distance[points[by_distance].argsort(descending=True, stable=True)]
    return FilterRanking(points, mean_distance, order, rule, n_images)
