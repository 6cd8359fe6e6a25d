"""Perturbation sequences: pictures that change little from frame to frame, on which a network should keep its answer.

CIFAR-10-P and ImageNet-P (Hendrycks & Dietterich, ICLR 2019, section 4.2). Frames of a noise are noisy copies of the
first one, which is the picture itself; those of the others are each a step further. They are made one after the other,
of all images at once, on the images' own device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from engine.corruptions.colour import grey, hsv_to_rgb, require_channels, rgb_to_hsv, tint
from engine.corruptions.draws import Draws
from engine.corruptions.image_filters import gaussian_filter, line_blur, zoom
from engine.corruptions.pixels import ImageIndices, check_images, check_indices, divide, to_bytes, to_unit
from engine.corruptions.plane_maps import inverse_affine, moved, tilted, warped
from engine.corruptions.sequence_tables import (
    N_DIFFICULTIES,
    SCORED,
    SEQUENCE_TABLES,
    SEQUENCES,
    P,
    SequenceConstants,
)
from engine.corruptions.spatter import WATER, water
from engine.errors import InputError, unknown_name

Frames = Iterator[torch.Tensor]
_MAKERS: dict[str, Callable[[torch.Tensor, SequenceConstants, Draws, int], Frames]] = {}
"""By sequence: from uint8 images (n, c, h, w), constants, draws and a difficulty to frames, each like the images."""
NOISES = ("gaussian_noise", "shot_noise", "speckle_noise")
"""Sequences whose frames are compared with the first one, and whose difficulty is their strength."""
FROM_THE_PICTURE = (*NOISES, "zoom_blur")
"""Sequences whose first frame is the picture itself."""


def perturbation_frames(
    images: torch.Tensor,
    name: str,
    *,
    seed: int,
    difficulty: int = 1,
    indices: ImageIndices | None = None,
    table: str = "cifar-p",
) -> Frames:
    """Yield a sequence's frames one after the other. Image i's depend on (seed, name, difficulty, its index) only.

    Args:
        images: uint8 (n, c, h, w).
        name: one of ``SEQUENCES``.
        seed: what the random draws come from.
        difficulty: 1 to 3; of a noise its strength. The frames of others are the same at all three: which of them are
            compared is another matter.
        indices: the images' indices in their data set, (n,); None means 0, 1, ….
        table: whose constants: "cifar-p" or "imagenet-p".

    Yields:
        uint8 (n, c, h, w), on the images' device.

    Raises:
        InputError: unknown name or table, a difficulty outside 1…3, or images or indices of the wrong type or shape.
    """
    constants = sequence_constants(name, table)
    images = check_images(images)
    draws = Draws(seed, ("sequence", name, check_difficulty(difficulty)), check_indices(indices, images))
    return _MAKERS[name](images, constants, draws, difficulty)


def sequence_constants(name: str, table: str) -> SequenceConstants:
    """Return a sequence's constants; raises ``InputError`` for an unknown name or table."""
    if table not in SEQUENCE_TABLES:
        raise unknown_name("table of perturbation sequences", table, SEQUENCE_TABLES)
    if name not in SEQUENCE_TABLES[table]:
        raise unknown_name("perturbation sequence", name, (*SEQUENCE_TABLES[table], P))
    return SEQUENCE_TABLES[table][name]


def with_scored(words: Sequence[str]) -> tuple[str, ...]:
    """Return names of sequences, each once, in the benchmark's order; "p" stands for the ten that are scored.

    Raises:
        InputError: an unknown one.
    """
    named = {name for word in words for name in (SCORED if word == P else (word,))}
    unknown = sorted(named - set(SEQUENCES))
    if unknown:
        raise unknown_name("perturbation sequence", unknown[0], (*SEQUENCES, P))
    return tuple(name for name in SEQUENCES if name in named)


def check_difficulty(difficulty: object) -> int:
    """Return a difficulty; raises ``InputError`` unless it is 1, 2 or 3."""
    if isinstance(difficulty, bool) or difficulty not in range(1, N_DIFFICULTIES + 1):
        raise InputError(f"`difficulty` must be a whole number from 1 to {N_DIFFICULTIES}, got {difficulty!r}")
    return int(difficulty)  # type: ignore[call-overload]


def why_no_sequence(name: str, table: str, channels: int, side: int) -> str | None:
    """Return why a sequence has no meaning for images of a shape, or None."""
    grey_image = torch.full((1, channels, side, side), 128, dtype=torch.uint8)
    try:
        next(perturbation_frames(grey_image, name, seed=0, table=table))
    except InputError as error:
        return str(error)
    return None


def _sequence(name: str) -> Callable[[Callable[..., Frames]], Callable[..., Frames]]:
    """Return a decorator for what makes a sequence's frames of images, constants, draws and a difficulty."""

    def add(function: Callable[..., Frames]) -> Callable[..., Frames]:
        _MAKERS[name] = function
        return function

    return add


@_sequence("gaussian_noise")
def _gaussian_noise(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    yield images
    values, deviation = to_unit(images), of.constants[difficulty - 1]
    for frame in range(1, of.n_frames):
        yield to_bytes(draws.normal(f"noise {frame}", images.shape[1:]).mul_(deviation).add_(values))


@_sequence("shot_noise")
def _shot_noise(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    yield images
    photons = of.constants[difficulty - 1]
    for frame in range(1, of.n_frames):
        yield to_bytes(divide(draws.poisson(f"photons {frame}", images, photons).double(), photons))


@_sequence("speckle_noise")
def _speckle_noise(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    yield images
    values, deviation = to_unit(images), of.constants[difficulty - 1]
    for frame in range(1, of.n_frames):
        noise = draws.normal(f"noise {frame}", images.shape[1:]).mul_(deviation)
        yield to_bytes(noise.mul_(values).add_(values))


@_sequence("motion_blur")
def _motion_blur(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    for frame in range(of.n_frames):
        yield line_blur(images, _angles(images, of.at(frame)), *of.constants)


@_sequence("zoom_blur")
def _zoom_blur(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    """Yield the mean of all zooms so far, in 32 bits."""
    yield images
    total = to_unit(images, torch.float32)
    for frame in range(1, of.n_frames):
        larger = warped(images, inverse_affine(*images.shape[2:], factor=of.at(frame)))
        total = total + to_unit(larger, torch.float32)
        yield to_bytes(divide(total, frame + 1))


@_sequence("snow")
def _snow(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    """Yield the whitened picture with the same flakes blown to other sides, as drawn and turned by 180 degrees."""
    require_channels(images, "snow")
    mean, deviation, factor, threshold, radius, sigma, kept = of.constants
    layer = mean + deviation * draws.normal("flakes", images.shape[2:])
    layer = zoom(layer.permute(1, 2, 0).contiguous(), factor).permute(2, 0, 1).unsqueeze(1)
    flakes = to_bytes(layer.where(layer >= threshold, 0))
    values = to_unit(images)
    brighter = grey(values.float()) * 1.5 + 0.5
    whitened = kept * values + (1 - kept) * torch.maximum(values, brighter.double())
    for frame in range(of.n_frames):
        fallen = to_unit(line_blur(flakes, _angles(images, of.at(frame)), radius, sigma))
        yield to_bytes(whitened + fallen + fallen.flip(2, 3))


@_sequence("brightness")
def _brightness(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    values = to_unit(images)
    if require_channels(images, "brightness") == 1:
        yield from (to_bytes(values + of.at(frame)) for frame in range(of.n_frames))
        return
    hue, saturation, value = rgb_to_hsv(values)
    for frame in range(of.n_frames):
        yield to_bytes(hsv_to_rgb(hue, saturation, (value + of.at(frame)).clamp(0, 1)))


@_sequence("translate")
def _translate(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    yield from (moved(images, int(of.at(frame))) for frame in range(of.n_frames))


@_sequence("rotate")
def _rotate(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    size = images.shape[2:]
    yield from (warped(images, inverse_affine(*size, degrees=of.at(frame))) for frame in range(of.n_frames))


@_sequence("tilt")
def _tilt(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    yield from (tilted(images, of.at(frame)) for frame in range(of.n_frames))


@_sequence("scale")
def _scale(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    size = images.shape[2:]
    yield from (warped(images, inverse_affine(*size, factor=of.at(frame))) for frame in range(of.n_frames))


@_sequence("gaussian_blur")
def _gaussian_blur(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    values, (truncate,) = to_unit(images), of.constants
    for frame in range(of.n_frames):
        yield to_bytes(gaussian_filter(values, of.at(frame), truncate=truncate))


@_sequence("spatter")
def _spatter(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    """Yield the picture with drops that run down it."""
    require_channels(images, "spatter")
    mean, deviation, sigma, threshold, strength, shares = of.constants
    layer = gaussian_filter(mean + deviation * draws.normal("drops", images.shape[2:]), sigma)
    layer = layer.where(layer >= threshold, 0)
    values = to_unit(images, torch.float32)
    for _ in range(of.n_frames):
        yield to_bytes(values + water(layer, strength).unsqueeze(1) * tint(WATER, values))
        layer = _run_down(layer, shares)


def _run_down(layer: torch.Tensor, shares: Sequence[float]) -> torch.Tensor:
    """Return drops (n, h, w) of which shares have moved by as many rows, the middle one (rounded down) by none."""
    found = torch.zeros_like(layer)
    for rows, share in enumerate(shares, start=-((len(shares) - 1) // 2)):
        found += moved(layer.unsqueeze(1).transpose(2, 3), rows).transpose(2, 3).squeeze(1) * share
    return found


@_sequence("shear")
def _shear(images: torch.Tensor, of: SequenceConstants, draws: Draws, difficulty: int) -> Frames:
    size = images.shape[2:]
    yield from (warped(images, inverse_affine(*size, shear=of.at(frame))) for frame in range(of.n_frames))


def _angles(images: torch.Tensor, degrees: float) -> torch.Tensor:
    return torch.full((len(images),), degrees, dtype=torch.float64, device=images.device)
