"""What a ranking from unpaired sets is held against: how far each control agrees with the paired ranking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from engine.errors import InputError
from engine.ranking.agreement import Agreement, compare_rankings
from engine.ranking.controls import mean_activations, pooled_distances, random_pair, split_halves
from engine.ranking.filters import wanted_layers
from engine.ranking.rankings import FilterRanking, rank_filters
from engine.ranking.streaming import exemplar_distances, paired_distances
from engine.seeds import derive_seed

CONTROLS = ("random images", "mean clean activation", "unpaired sets pooled", "split halves, paired")
"""One clean and one noisy image drawn at random; no noisy image at all; all unpaired images at once; and, as the
ceiling, the rankings by either half of the pairs held against each other."""

Agreements = dict[str, dict[str, tuple[Agreement, ...]]]
"""{control: {layer: agreements, one a draw}}."""


def control_agreements(
    model: nn.Module,
    clean: torch.Tensor,
    noisy: torch.Tensor,
    other_clean: torch.Tensor,
    layers: str | Iterable[str] | None = None,
    *,
    fraction: float | None = None,
    count: int | None = None,
    distance: str = "emd_1d",
    at: str = "activation",
    election: str = "borda",
    top: int = 10,
    n_draws: int = 20,
    seed: int,
) -> Agreements:
    """Return how far each control agrees with the paired ranking.

    Args:
        model: as for ``paired_distances``, as are ``layers``, ``distance`` and ``at``.
        clean: the images that the noisy ones come from, ``(n, c, h, w)``.
        noisy: ``(n, c, h, w)``.
        other_clean: clean images that no noisy one comes from, ``(m, c, h, w)``: what an unpaired ranking would have.
        layers: names, or None for all that can be ranked.
        fraction: share of the filters that counts as the most affected; see ``n_selected``.
        count: or their number.
        distance: a name in ``DISTANCES``.
        at: the place where the maps are taken.
        election: the rule of the paired ranking.
        top: its places that get points.
        n_draws: how often the random images and the halves are drawn, ≥ 1.
        seed: of the draws.

    Returns:
        {each of ``CONTROLS``: {layer: agreements}}: ``n_draws`` of what is drawn, else one.

    Raises:
        InputError: no draw, or whatever ``paired_distances``, ``compare_rankings`` and ``split_halves`` refuse.
    """
    if n_draws < 1:
        raise InputError(f"`n_draws` must be ≥ 1, got {n_draws}")
    wanted = wanted_layers(model, layers)
    place: dict[str, Any] = {"distance": distance, "at": at}
    vote: dict[str, Any] = {"rule": election, "top": top}
    pairs = paired_distances(model, clean, noisy, wanted, **place)
    paired = {layer: rank_filters(votes, **vote) for layer, votes in pairs.items()}
    seeds = [derive_seed(seed, "control draw", draw) for draw in range(n_draws)]

    def agreement(ranking: FilterRanking, other: FilterRanking) -> Agreement:
        return compare_rankings(ranking, other, fraction=fraction, count=count)

    def random_images(draw: int) -> dict[str, torch.Tensor]:
        i, j = random_pair(len(other_clean), len(noisy), seed=draw)
        return exemplar_distances(model, other_clean[i : i + 1], noisy[j : j + 1], wanted, **place)

    vectors = (
        [random_images(draw) for draw in seeds],
        [mean_activations(model, other_clean, wanted, at=at)],
        [pooled_distances(model, other_clean, noisy, wanted, at=at)],
    )
    found = {
        control: {layer: tuple(agreement(rank_filters(one[layer]), paired[layer]) for one in made) for layer in wanted}
        for control, made in zip(CONTROLS, vectors, strict=False)
    }

    def halves(votes: torch.Tensor, draw: int) -> Agreement:
        first, second = (rank_filters(half, **vote) for half in split_halves(votes, seed=draw))
        return agreement(first, second)

    found[CONTROLS[3]] = {layer: tuple(halves(votes, draw) for draw in seeds) for layer, votes in pairs.items()}
    return found
