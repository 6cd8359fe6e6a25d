"""What a ranking from unpaired sets has to be held against: cheaper rankings, and the best that could be hoped for.

Chance is too weak a control: rankings that look at no medoid at all come near the paired one.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from engine.errors import InputError
from engine.ranking.elections import check_distances
from engine.ranking.filters import wanted_layers
from engine.ranking.maps import activation_maps
from engine.seeds import generator


def random_pair(n_clean: int, n_noisy: int, *, seed: int) -> tuple[int, int]:
    """Return the indices of one clean and one noisy image drawn at random: exemplars that represent nothing.

    Args:
        n_clean: size of the clean set, ≥ 1.
        n_noisy: size of the noisy set, ≥ 1.
        seed: of the draw.
    """
    if n_clean < 1 or n_noisy < 1:
        raise InputError(f"both sets need an image to draw, got {n_clean} clean and {n_noisy} noisy")
    drawn = generator(seed, "random exemplars")
    clean, noisy = (int(torch.randint(n, (1,), generator=drawn)) for n in (n_clean, n_noisy))
    return clean, noisy


def random_exemplars(n_images: int, n_exemplars: int, *, seed: int, purpose: str) -> torch.Tensor:
    """Return the positions of images drawn at random instead of exemplars, ``(n_exemplars,)`` int64, all different.

    Args:
        n_images: size of the set.
        n_exemplars: 1…n_images.
        seed: of the draw.
        purpose: of the set ("clean"): sets of one size are drawn from independently.
    """
    if not 1 <= n_exemplars <= n_images:
        raise InputError(f"`n_exemplars` must be in [1, {n_images}], the images that there are, got {n_exemplars}")
    return torch.randperm(n_images, generator=generator(seed, "random exemplars", purpose))[:n_exemplars]


def mean_activations(
    model: nn.Module,
    images: torch.Tensor,
    layers: str | Iterable[str] | None = None,
    *,
    at: str = "activation",
    batch_size: int = 256,
) -> dict[str, torch.Tensor]:
    """Return each filter's mean activation, ``{layer: (f,)}``, float64: a ranking that looks at no noise at all.

    The arguments are those of ``activation_maps``; ``rank_filters`` sorts the vectors.
    """
    totals: dict[str, torch.Tensor] = {}
    for maps in activation_maps(model, images, layers, at=at, batch_size=batch_size):
        for layer, found in maps.items():
            batch = found.double().mean(dim=(2, 3)).sum(dim=0).cpu()
            totals[layer] = totals.get(layer, 0) + batch
    return {layer: total / len(images) for layer, total in totals.items()}


def pooled_distances(
    model: nn.Module,
    clean: torch.Tensor,
    noisy: torch.Tensor,
    layers: str | Iterable[str] | None = None,
    *,
    at: str = "activation",
    batch_size: int = 256,
) -> dict[str, torch.Tensor]:
    """Return the distances between two unpaired sets as wholes, ``{layer: (f,)}``, float64.

    Every map's values are sorted; the k-th values are averaged over a set; the distance is the mean absolute difference
    of the two averages. That is the one-dimensional earth mover's distance between the barycentres of the sets' value
    distributions, and with one image in each set ``emd_1d`` of the two. Memory does not grow with the sets.

    The arguments are those of ``activation_maps``; the sets may differ in size.
    """
    wanted = wanted_layers(model, layers)
    clean_values = _mean_sorted(model, clean, wanted, at, batch_size)
    noisy_values = _mean_sorted(model, noisy, wanted, at, batch_size)
    for layer in wanted:
        if clean_values[layer].shape != noisy_values[layer].shape:
            raise InputError("clean and noisy images must be of one size for their activation maps to be compared")
    return {layer: (clean_values[layer] - noisy_values[layer]).abs().mean(dim=1) for layer in wanted}


def _mean_sorted(
    model: nn.Module, images: torch.Tensor, layers: tuple[str, ...], at: str, batch_size: int
) -> dict[str, torch.Tensor]:
    totals: dict[str, torch.Tensor] = {}
    for maps in activation_maps(model, images, layers, at=at, batch_size=batch_size):
        for layer, found in maps.items():
            batch = found.flatten(2).sort(dim=2).values.double().sum(dim=0).cpu()
            totals[layer] = totals.get(layer, 0) + batch
    return {layer: total / len(images) for layer, total in totals.items()}


def split_halves(distances: torch.Tensor, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distances of two random halves of the images: how well their rankings agree is the ceiling.

    Args:
        distances: ``(n, f)``, n ≥ 2; for odd n the second half has one image more.
        seed: of the split.
    """
    votes = check_distances(distances)
    if len(votes) < 2:
        raise InputError("a split needs two images or more, got 1")
    shuffled = votes[torch.randperm(len(votes), generator=generator(seed, "split halves"))]
    half = len(votes) // 2
    return shuffled[:half], shuffled[half:]
