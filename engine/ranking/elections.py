"""Election rules: images vote on filters, each by its distances, and every filter gets a score."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.errors import InputError
from engine.registry import Registry

Election = Callable[[torch.Tensor, int], torch.Tensor]

ELECTIONS: Registry[Election] = Registry("election rule")
_OF_ALL_PLACES: set[str] = set()


def register_election(name: str, *, counts_places: bool = True) -> Callable[[Election], Election]:
    """Return a decorator that makes a function usable as ``rule=name``.

    The function gets ``(n, f)`` finite distances and the number of places that count, and returns a score for each
    filter, ``(f,)``: the higher, the more the filter is affected.

    Args:
        name: the rule's name.
        counts_places: whether the number of places can change a score; else trials that differ in it alone are one.
    """
    if not counts_places:
        _OF_ALL_PLACES.add(name)
    return ELECTIONS.register(name)


def counts_places(rule: str) -> bool:
    """Return whether the number of places that count (``top``) can change what a rule finds."""
    return rule not in _OF_ALL_PLACES


def check_distances(distances: torch.Tensor) -> torch.Tensor:
    """Return the distances as a float64 tensor ``(n, f)`` on the CPU.

    Raises:
        InputError: they are not two-dimensional, are empty, or hold NaN or infinite values.
    """
    votes = torch.as_tensor(distances).detach().cpu().double()
    if votes.ndim != 2:
        raise InputError(f"distances must be (images, filters), got shape {tuple(votes.shape)}")
    if votes.numel() == 0:
        raise InputError(f"no distances to rank filters by: the shape is {tuple(votes.shape)} (images, filters)")
    if not torch.isfinite(votes).all():
        raise InputError("distances hold NaN or infinite values: the activations are not finite")
    return votes


def borda_count(distances: torch.Tensor, top: int = 10) -> torch.Tensor:
    """Return each filter's Borda points, ``(f,)`` int64.

    Each image gives ``top`` points to its filter of largest distance, one less to the second, and so on down to one
    point; all others get none. With fewer filters than that, points start at ``top`` all the same. Filters at the same
    distance within an image share no points: the one with the lower index is placed first.

    Source: Bianchi et al. 2019, section 3.2. Its Algorithm 1 has an ascending ``argsort``; its text ranks "from the
    most changing feature map, to the least changing one" and section 3.4 sorts descending, so that this descends.

    Args:
        distances: ``(n, f)``, images by filters.
        top: how many filters get points from an image, ≥ 1.
    """
    votes = check_distances(distances)
    if top < 1:
        raise InputError(f"`top` must be ≥ 1, got {top}")
    n_images, n_filters = votes.shape
    placed = votes.sort(dim=1, descending=True, stable=True).indices[:, :top]
    points = torch.arange(top, top - placed.shape[1], -1).expand(n_images, -1)
    return torch.zeros(n_filters, dtype=torch.int64).index_add_(0, placed.flatten(), points.flatten())


register_election("borda")(borda_count)


@register_election("copeland", counts_places=False)
def copeland(distances: torch.Tensor, top: int) -> torch.Tensor:
    """Duels won minus duels lost, int64: a filter wins against another if more images place it higher than lower."""
    n_filters = distances.shape[1]
    ahead = torch.zeros(n_filters, n_filters, dtype=torch.int64)
    for block in distances.split(max(1, 2**24 // n_filters**2)):
        ahead += (block[:, :, None] > block[:, None, :]).sum(dim=0)
    return (ahead - ahead.T).sign().sum(dim=1)


@register_election("mean_rank", counts_places=False)
def mean_rank(distances: torch.Tensor, top: int) -> torch.Tensor:
    """How many filters it is above in an image, half of those at its own distance counted, averaged, float64: 0…f − 1.

    It orders filters as their mean rank does, and as a Borda count does that gives points to all places.
    """
    ascending = distances.sort(dim=1).values.contiguous()
    given = distances.contiguous()
    below = torch.searchsorted(ascending, given, side="left")
    up_to = torch.searchsorted(ascending, given, side="right")
    return (below + up_to - 1).double().mean(dim=0) / 2


@register_election("mean_distance", counts_places=False)
def mean_distance(distances: torch.Tensor, top: int) -> torch.Tensor:
    """The mean distance itself, float64: no vote."""
    return distances.mean(dim=0)
