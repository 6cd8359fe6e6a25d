"""PRIME (Modas et al., ECCV 2022): random filters, smooth colours and smooth deformations, each as random as it can be.

As published: chains of one to three of the three transforms are mixed as AugMix mixes its own. How strong a transform
is (a filter's deviation, the number of a colour's frequencies, a deformation's field) is drawn for a batch and a step
of the chains; which one an image undergoes, its kernel and its colours' coefficients are the image's own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.corruptions.draws import Draws
from engine.metrics import as_input
from engine.seeds import derive_seed
from engine.training.consistency import jensen_shannon
from engine.training.mixing import each, equal_shares

_WIDTH, _DEPTH = 3, 3
_SIDE = 3
"""Of a filter's kernel, in pixels."""
_LEAST_CUT = 2
_ELEMENTS_AT_A_TIME = {"cpu": 1 << 16, "cuda": 1 << 26}


@dataclass(frozen=True)
class Strengths:
    """The bounds of what a batch draws.

    Attributes:
        sigma: the highest deviation of a filter's weights; uniform from 0.
        frequencies: the highest number of a colour's frequencies, and of a deformation's modes along a side.
        temperature: the highest variance of a colour's coefficients; uniform from 0.
        band: how many frequencies a colour has in a row; None for all from 1 on.
    """

    sigma: float
    frequencies: int
    temperature: float
    band: int | None


STRENGTHS = {
    "cifar": Strengths(sigma=4.0, frequencies=100, temperature=0.01, band=None),
    "imagenet": Strengths(sigma=4.0, frequencies=500, temperature=0.05, band=20),
}
"""As published, for images of 32 and of 224 pixels."""


class Prime:
    """Mixtures of chains of random transforms, and a loss by which a network answers alike to an image and to them.

    Args:
        strengths: one of ``STRENGTHS``.
        consistency: weight of the Jensen–Shannon divergence; 0 for none: one mixture then takes the image's place.
        seed: what it is drawn from.
    """

    def __init__(self, *, strengths: str, consistency: float, seed: int) -> None:
        self._strengths, self._consistency, self._seed = STRENGTHS[strengths], consistency, seed

    def views(self, images: Tensor, places: Tensor, epoch: int, step: int) -> Tensor:
        """Return the images and two mixtures of each; without the loss one mixture of each."""
        clean = as_input(images)
        if not self._consistency:
            return self._mixture(clean, places, (epoch, 0), step)
        return torch.cat([clean, *(self._mixture(clean, places, (epoch, view), step) for view in range(2))])

    def penalty(self, logits: Sequence[Tensor]) -> Tensor | None:
        """Return the weighted divergence of the answers to the three views."""
        return self._consistency * jensen_shannon(logits) if self._consistency else None

    def _mixture(self, clean: Tensor, places: Tensor, purpose: tuple[int, int], step: int) -> Tensor:
        draws = Draws(self._seed, ("prime", *purpose), places)
        shares = equal_shares(draws, "weights", 1, _WIDTH)[:, 0]
        share = each(draws.uniform("mixture", ()).float())
        chains = self._chains(clean, places, purpose, step).reshape(len(clean), _WIDTH, *clean.shape[1:])
        return (1 - share) * clean + share * torch.einsum("nk,nkchw->nchw", shares, chains)

    def _chains(self, clean: Tensor, places: Tensor, purpose: tuple[int, int], step: int) -> Tensor:
        """Return what the chains make of the images: float (n·chains, c, h, w) in [0, 1]."""
        own = (places[:, None] * _WIDTH + torch.arange(_WIDTH, device=places.device)).flatten()
        draws = Draws(self._seed, ("prime chains", *purpose), own)
        which = draws.integers("transforms", 0, len(TRANSFORMS), (_DEPTH,))
        depths = draws.integers("depths", 1, _DEPTH + 1, ())
        changed = clean.repeat_interleave(_WIDTH, 0)
        for layer in range(_DEPTH):
            chosen = which[:, layer].where(layer < depths, -1)
            for number, transform in enumerate(TRANSFORMS):
                seed = derive_seed(self._seed, "prime", *purpose, step, layer, number)
                done = transform(self._strengths, random.Random(seed), changed)
                changed = _apply(done, changed, own, chosen == number, seed=seed)
        return changed


Applied = Callable[[Tensor, Draws], Tensor]
"""Float images (n, c, h, w) in [0, 1], and draws of theirs → float of this shape in [0, 1]."""


def random_filter(strengths: Strengths, batch: random.Random, images: Tensor) -> Applied:
    """Return what filters each image by a kernel of its own: normal weights, and 1 more at the lower right.

    There, and not in the middle, is the published kernels' own: it moves the image by a pixel.
    """
    sigma = strengths.sigma * batch.random()

    def apply(images: Tensor, draws: Draws) -> Tensor:
        kernels = sigma * draws.normal("kernel", (_SIDE, _SIDE)).float()
        kernels[:, -1, -1] += 1
        return filtered(images, kernels)

    return apply


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Return images of which each is correlated with its own kernel, (n, 3, 3), zeros around it; clamped to 0…1."""
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1))
    total = torch.zeros_like(images)
    for down in range(_SIDE):
        for right in range(_SIDE):
            total += each(kernels[:, down, right]) * padded[:, :, down : down + height, right : right + width]
    return total.clamp(0, 1)


def random_colours(strengths: Strengths, batch: random.Random, images: Tensor) -> Applied:
    """Return what adds a smooth function of itself to each channel's values: sines that are 0 at black and white."""
    highest = batch.randint(1, strengths.frequencies)
    deviation = math.sqrt(strengths.temperature * batch.random())
    first = 1 if strengths.band is None else batch.randint(1, highest)
    n = highest - first + 1 if strengths.band is None else min(strengths.band, highest - first + 1)

    def apply(images: Tensor, draws: Draws) -> Tensor:
        coefficients = deviation * draws.normal("colours", (images.shape[1], n)).float()
        return recoloured(images, coefficients, first)

    return apply


def recoloured(images: Tensor, coefficients: Tensor, first: int = 1) -> Tensor:
    """Return c + Σ_k a_k sin(πkc) of each value c, clamped to 0…1.

    Args:
        images: float (n, c, h, w) in [0, 1].
        coefficients: a_k of each image and channel, (n, c, frequencies).
        first: the lowest k, ≥ 1.
    """
    values = images.flatten(2)
    n = max(1, _ELEMENTS_AT_A_TIME.get(images.device.type, _ELEMENTS_AT_A_TIME["cuda"]) // values[0].numel())
    parts = zip(values.split(n), coefficients.split(n), strict=True)
    added = torch.cat([_sines(math.pi * value.double(), weights.double(), first) for value, weights in parts])
    return (values + added.to(values.dtype)).clamp(0, 1).reshape(images.shape)


def _sines(angles: Tensor, coefficients: Tensor, first: int) -> Tensor:
    """Return Σ_k a_k sin(kθ), k counted from ``first``, by Clenshaw's recurrence: not a sine for each k.

    Args:
        angles: θ, float64 (n, c, pixels).
        coefficients: a_k, float64 (n, c, frequencies).
        first: the lowest k.
    """
    twice, last, before = 2 * angles.cos(), torch.zeros_like(angles), torch.zeros_like(angles)
    for weight in reversed(coefficients.unsqueeze(2).unbind(3)):
        before.neg_().add_(weight).addcmul_(twice, last)
        last, before = before, last
    return last * (first * angles).sin() - before * ((first - 1) * angles).sin()


def random_deformation(strengths: Strengths, batch: random.Random, images: Tensor) -> Applied:
    """Return what moves all images' pixels along one smooth field, whose folds nowhere lie over each other.

    The field's modes reach to a number that is most often near its bounds, the highest of which is drawn, too; its
    temperature lies between that of half a pixel's displacement and that of the first folds (Petrini et al. 2021).
    """
    side = images.shape[3]
    most = batch.randint(_LEAST_CUT + 1, strengths.frequencies)
    cut = min(int(_LEAST_CUT + _arcsine(batch) * (most + 1 - _LEAST_CUT)), most)
    low, high = temperatures(side, cut)
    temperature = low + _arcsine(batch) * (max(low, high) - low)
    seed, device = batch.getrandbits(62), images.device

    def apply(images: Tensor, draws: Draws) -> Tensor:
        of_batch = Draws(seed, ("field",), torch.zeros(1, dtype=torch.int64, device=device))
        coefficients = math.sqrt(temperature) * of_batch.normal("modes", (2, cut, cut))[0].float()
        return deformed(images, displacement(coefficients, side))

    return apply


def _arcsine(batch: random.Random) -> float:
    """Return a draw from Beta(½, ½), in [0, 1]."""
    return math.sin(math.pi / 2 * batch.random()) ** 2


def temperatures(side: int, cut: int) -> tuple[float, float]:
    """Return the lowest and the highest temperature of a field on so many pixels with modes below ``cut``, ≥ 2."""
    return 1 / (math.pi * side**2 * math.log(cut)), 4 / (math.pi**3 * cut**2 * math.log(cut))


def displacement(coefficients: Tensor, side: int) -> Tensor:
    """Return a field that is 0 at the edges, in pixels, to the right and down: (2, side, side).

    Args:
        coefficients: of the modes sin(πix) sin(πjy), i along the width, (2, cut, cut); each is divided by √(i² + j²),
            and is 0 where that reaches cut + ½.
        side: of the images, in pixels.
    """
    cut, device, dtype = coefficients.shape[1], coefficients.device, coefficients.dtype
    numbers = torch.arange(1, cut + 1, device=device, dtype=dtype)
    lengths = (numbers[:, None].square() + numbers.square()).sqrt()
    weights = torch.where(lengths < cut + 0.5, 1 / lengths, 0.0)
    sines = torch.sin(math.pi * torch.linspace(0, 1, side, device=device, dtype=dtype)[:, None] * numbers)
    return side * (sines @ (coefficients * weights).transpose(1, 2) @ sines.T)


def deformed(images: Tensor, field: Tensor) -> Tensor:
    """Return images read between their pixels where a field comes from; beyond the edge is the edge.

    Args:
        images: float (n, c, side, side).
        field: in pixels, to the right and down, (2, side, side): what a pixel shows lies so far to the left and above.
    """
    side = images.shape[3]
    span = torch.arange(side, device=images.device, dtype=field.dtype)
    from_edge = torch.stack([span - field[0], span[:, None] - field[1]], dim=2)  # in pixels
    grid = from_edge * (2 / (side - 1)) - 1
    places = grid.expand(len(images), -1, -1, -1)
    return F.grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=True)


TRANSFORMS: tuple[Callable[[Strengths, random.Random, Tensor], Applied], ...] = (
    random_deformation,
    random_colours,
    random_filter,
)


def _apply(transform: Applied, images: Tensor, own: Tensor, is_chosen: Tensor, *, seed: int) -> Tensor:
    """Return images of which those that are chosen have undergone a transform.

    On a CPU it gets those alone; on a GPU, where the host would have to wait to hear which they are, all.

    Args:
        transform: which.
        images: float (n, c, h, w).
        own: what each image's draws are known by, int64 (n,).
        is_chosen: bool (n,).
        seed: of the images' draws.
    """
    if images.device.type != "cpu":
        return torch.where(each(is_chosen), transform(images, Draws(seed, ("own",), own)), images)
    places = is_chosen.nonzero().flatten()
    if not len(places):
        return images
    return images.index_copy(0, places, transform(images[places], Draws(seed, ("own",), own[places])))
