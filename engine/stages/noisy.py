"""The noisy training images of a trial: which they are, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.corruptions import distort
from engine.data import DataSet, Split
from engine.seeds import derive_seed, generator
from engine.stages.budget import HELD_OUT, ONE_IN, NoisyBudget


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
    noisy = distorted(clean, distortion, seed=seed).kept()  # not made anew in every epoch
    return noisy, clean, data.train.take(order[n : 2 * n])


@dataclass(frozen=True)
class NoisySets:
    """The labelled noisy images of a training, apart.

    Attributes:
        trained_on: what the weights are fitted to.
        selecting: what chooses the best epoch and ends the training.
        budget: how many they are.
    """

    trained_on: Split
    selecting: Split
    budget: NoisyBudget


def noisy_sets(data: DataSet, settings: Mapping[str, Any], *, seed: int) -> NoisySets:
    """Return the noisy images to train on, and those to select the best epoch by.

    Every fifth of the drawn images is held out, whatever their labels: so both sets of 100 images are parts of those of
    200, and the held-out ones are drawn as the others are. Classes are not balanced, in neither: five held-out images
    cannot have ten classes.

    Args:
        data: whose training images are drawn from.
        settings: "distortion", as ``noisy_and_clean`` takes it, and "select_by" of ``FinetuneSettings``.
        seed: the trial's.
    """
    noisy, _, _ = noisy_and_clean(data, settings["distortion"], seed=seed)
    if settings["select_by"] == HELD_OUT:
        place = torch.arange(len(noisy), device=noisy.labels.device)
        is_held_out = place % ONE_IN == ONE_IN - 1
        trained_on, selecting = noisy.take(place[~is_held_out]), noisy.take(place[is_held_out])
    else:
        trained_on, selecting = noisy, distorted(data.validation, settings["distortion"], seed=seed)
    return NoisySets(trained_on, selecting, NoisyBudget(len(trained_on), len(selecting), settings["select_by"]))


def distorted(split: Split, distortion: Mapping[str, Any], *, seed: int) -> Split:
    """Return a split with its images distorted; an image's noise depends on (seed, its index)."""
    draws = derive_seed(seed, "distortion")

    def change(images: Tensor, indices: Tensor) -> Tensor:
        return distort(images, distortion["name"], distortion["level"], seed=draws, indices=indices)

    return split.changed(change)
