"""The noisy training images of a trial: which they are, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from engine.corruptions import distort
from engine.data import DataSet, Split
from engine.seeds import derive_seed, generator


def noisy_and_clean(data: DataSet, distortion: Mapping[str, Any], *, seed: int) -> tuple[Split, Split, Split]:
    """Return the noisy images, the clean images that they come from, and as many other clean ones.

    The draws are nested: the first 100 of 200 noisy images are those of 100.

    Args:
        data: whose training images are drawn from.
        distortion: "name", "level" and "n_images".
        seed: the trial's.

    Returns:
        (noisy (n), their clean versions (n), clean images that no noisy one comes from (n, or what is left)).
    """
    n = distortion["n_images"]
    order = torch.randperm(len(data.train), generator=generator(seed, "noisy images"))
    clean = data.train.take(order[:n])
    return distorted(clean, distortion, seed=seed), clean, data.train.take(order[n : 2 * n])


def distorted(split: Split, distortion: Mapping[str, Any], *, seed: int) -> Split:
    """Return a split with its images distorted; an image's noise depends on (seed, its index)."""
    images = distort(
        split.images,
        distortion["name"],
        distortion["level"],
        seed=derive_seed(seed, "distortion"),
        indices=split.indices,
    )
    return Split(images, split.labels, split.indices)
