"""What a training does to its images beside cropping and flipping, so that a network holds up: noise, AugMix or PRIME.

All of it is drawn on the images' device from (seed, epoch, the image's place in the training set): no step waits for
the host, and an image suffers the same in whichever batch it is, but for what PRIME draws for a batch as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.corruptions.draws import Draws
from engine.data.operations import OPERATIONS, Operation
from engine.metrics import as_input
from engine.seeds import derive_seed
from engine.training.consistency import jensen_shannon
from engine.training.mixing import each, equal_shares
from engine.training.prime import Prime

_WIDTH, _DEPTH = 3, 3
_ELEMENTS_AT_A_TIME = {"cpu": 1 << 20, "cuda": 1 << 26}


class Perturbation(Protocol):
    """What happens to a batch, and what a loss says of it beside the labels'."""

    def views(self, images: Tensor, places: Tensor, epoch: int, step: int) -> Tensor:
        """Return what a network is given: float images (k·n, c, h, w) in [0, 1], the labelled ones first.

        Args:
            images: uint8 (n, c, h, w).
            places: of the images in the training set, int64 (n,), on their device.
            epoch: counted from 0.
            step: of the epoch, counted from 0: only what a whole batch has in common may depend on it.
        """

    def penalty(self, logits: Sequence[Tensor]) -> Tensor | None:
        """Return what is added to the labels' loss, from the logits of each view; None for nothing."""


class Noise:
    """Gaussian noise on a part of each batch (Rusak, Schott et al., ECCV 2020, "Gauss" there).

    Args:
        sigmas: standard deviations, images in 0…1; each noisy image draws one.
        share: of a batch, that gets noise.
        seed: what it is drawn from.
    """

    def __init__(self, *, sigmas: tuple[float, ...], share: float, seed: int) -> None:
        self._sigmas, self._share, self._seed = sigmas, share, seed

    def views(self, images: Tensor, places: Tensor, epoch: int, step: int) -> Tensor:
        """Return the batch, its first images noisy: the order of an epoch is drawn, so any image may be one of them."""
        values = as_input(images)
        n_noisy = round(self._share * len(images))
        if n_noisy == 0:
            return values
        draws = Draws(self._seed, ("noise", epoch), places[:n_noisy])
        which = draws.integers("sigma", 0, len(self._sigmas), ())
        sigmas = sum(torch.where(which == number, sigma, 0.0) for number, sigma in enumerate(self._sigmas))
        assert isinstance(sigmas, Tensor)
        noise = draws.normal("noise", images.shape[1:]).float() * each(sigmas.float())
        return torch.cat([(values[:n_noisy] + noise).clamp(0, 1), values[n_noisy:]])

    def penalty(self, logits: Sequence[Tensor]) -> None:
        """Return nothing: noisy images have their labels."""


class AugMix:
    """Mixtures of chains of operations, and a loss by which a network answers alike to an image and to its mixtures.

    Hendrycks, Mu et al., "AugMix", ICLR 2020: three chains of one to three of nine operations, mixed by
    Dirichlet(1, 1, 1), and with the image by Beta(1, 1).

    Args:
        severity: the highest level of an operation, in [0.1, 10]; each draws its own from 0.1 on.
        consistency: weight of the Jensen–Shannon divergence; 0 for none: one mixture then takes the image's place.
        seed: what it is drawn from.
    """

    def __init__(self, *, severity: float, consistency: float, seed: int) -> None:
        self._severity, self._consistency, self._seed = severity, consistency, seed

    def views(self, images: Tensor, places: Tensor, epoch: int, step: int) -> Tensor:
        """Return the images and two mixtures of each; without the loss one mixture of each."""
        clean, draws = as_input(images), Draws(self._seed, ("augmix", epoch), places)
        n_views = 2 if self._consistency else 1
        chains = self._chains(images, draws, n_views).reshape(len(images), n_views, _WIDTH, *images.shape[1:])
        weights = equal_shares(draws, "weights", n_views, _WIDTH)
        shares = draws.uniform("mixture", (n_views,)).float()
        mixed = []
        for view in range(n_views):
            parts = (as_input(chains[:, view, chain]) * each(weights[:, view, chain]) for chain in range(_WIDTH))
            share = each(shares[:, view])
            mixed.append((1 - share) * clean + share * sum(parts))
        return torch.cat([clean, *mixed]) if self._consistency else mixed[0]

    def _chains(self, images: Tensor, draws: Draws, n_views: int) -> Tensor:
        """Return what the chains make of the images, uint8 (n·views·chains, c, h, w)."""
        shape = (n_views, _WIDTH, _DEPTH)
        which = draws.integers("operations", 0, len(OPERATIONS), shape).flatten(0, 2)
        levels = draws.uniform("levels", shape, 0.1, self._severity).flatten(0, 2)
        signs = (draws.integers("signs", 0, 2, shape) * 2 - 1).double().flatten(0, 2)
        depths = draws.integers("depths", 1, _DEPTH + 1, shape[:2]).flatten()
        changed = images.repeat_interleave(n_views * _WIDTH, 0)
        for step in range(_DEPTH):
            chosen = which[:, step].where(step < depths, -1)
            changed = apply_chosen(changed, chosen, levels[:, step], signs[:, step])
        return changed

    def penalty(self, logits: Sequence[Tensor]) -> Tensor | None:
        """Return the weighted divergence of the answers to the three views."""
        return self._consistency * jensen_shannon(logits) if self._consistency else None


def apply_chosen(images: Tensor, chosen: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Return uint8 images of which each has undergone an operation of its own.

    On a CPU each operation gets its own images. On a GPU the host would have to wait to hear how many they are: there
    all operations are done with all images, and those that were chosen are kept.

    Args:
        images: uint8 (n, c, h, w).
        chosen: numbers of operations, int64 (n,); −1 for none.
        levels: float64 (n,).
        signs: float64 (n,) of −1 or 1.
    """
    changed = images.clone()
    for number, operation in enumerate(OPERATIONS):
        is_chosen = chosen == number
        if images.device.type == "cpu":
            places = is_chosen.nonzero().flatten()
            if len(places):
                changed[places] = _in_parts(operation, images[places], levels[places], signs[places])
        else:
            done = _in_parts(operation, images, levels, signs)
            changed = torch.where(each(is_chosen), done, changed)
    return changed


def _in_parts(operation: Operation, images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Return what an operation makes of images, few enough at a time that what it needs meanwhile is small."""
    at_a_time = _ELEMENTS_AT_A_TIME.get(images.device.type, _ELEMENTS_AT_A_TIME["cuda"])
    n = max(1, at_a_time // images[0].numel())
    parts = zip(images.split(n), levels.split(n), signs.split(n), strict=True)
    return torch.cat([operation(*part) for part in parts])


_KINDS: Mapping[str, Callable[..., Perturbation]] = {
    "noise": lambda settings, seed: Noise(sigmas=tuple(settings["sigmas"]), share=settings["share"], seed=seed),
    "augmix": lambda settings, seed: AugMix(
        severity=settings["severity"], consistency=settings["consistency"], seed=seed
    ),
    "prime": lambda settings, seed: Prime(
        strengths=settings["strengths"], consistency=settings["consistency"], seed=seed
    ),
}


def make_perturbation(settings: Mapping[str, Any] | None, *, seed: int) -> Perturbation | None:
    """Return the perturbation of settings: "kind", and what it needs of ``PerturbationSettings``; None for none."""
    return None if settings is None else _KINDS[settings["kind"]](settings, derive_seed(seed, "perturbation"))
