"""Where a distortion turns filters on or off: the disparity of binarised activations (filter paper, Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from engine.errors import InputError
from engine.ranking.distances import extremes, require_finite
from engine.ranking.filters import wanted_layers
from engine.ranking.maps import activation_maps, check_images


def activation_disparity(
    model: nn.Module,
    clean: torch.Tensor,
    noisy: torch.Tensor,
    layers: str | Iterable[str] | None = None,
    *,
    at: str = "activation",
    batch_size: int = 256,
) -> dict[str, torch.Tensor]:
    """Return at how many filters a clean and a noisy image differ in being positive, at each location of each layer.

    That is the Hamming distance of the two binary vectors (a filter responds above 0, or does not) at a location.

    Source: Bianchi et al. 2019, section 5.2 and Fig. 6, after Vasiljevic et al. 2016.

    Args:
        model: as for ``activation_maps``, as are ``layers``, ``at`` and ``batch_size``.
        clean: images ``(n, c, h, w)``.
        noisy: ``(n, c, h, w)``, the i-th made from the i-th clean one.
        layers: names, or None for all that can be ranked.
        at: the place where the maps are taken.
        batch_size: images in a batch.

    Returns:
        ``{layer: (n, h, w)}``, int32 on the CPU, 0…number of the layer's filters.

    Raises:
        InputError: sets of different sizes, maps that hold NaN or infinite values, or whatever ``activation_maps``
            refuses.
    """
    for images in (clean, noisy):
        check_images(images)
    if clean.shape != noisy.shape:
        raise InputError(f"clean and noisy images must pair up, got {tuple(clean.shape)} and {tuple(noisy.shape)}")
    wanted = wanted_layers(model, layers)
    found: dict[str, list[torch.Tensor]] = {layer: [] for layer in wanted}
    clean_batches = activation_maps(model, clean, wanted, at=at, batch_size=batch_size)
    noisy_batches = activation_maps(model, noisy, wanted, at=at, batch_size=batch_size)
    for clean_maps, noisy_maps in zip(clean_batches, noisy_batches, strict=True):
        require_finite(extremes([*clean_maps.values(), *noisy_maps.values()]), "disparity")  # NaN > 0 would be "off"
        for layer in wanted:
            differs = (clean_maps[layer] > 0) != (noisy_maps[layer] > 0)
            found[layer].append(differs.sum(dim=1, dtype=torch.int32).cpu())
    return {layer: torch.cat(batches) for layer, batches in found.items()}
