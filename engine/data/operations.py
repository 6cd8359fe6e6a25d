"""AugMix's operations on batches of bytes, each image by a strength of its own: byte for byte what Pillow does."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

Operation = Callable[[Tensor, Tensor, Tensor], Tensor]
"""uint8 images (n, c, h, w), levels float64 (n,) in [0, 10], signs float64 (n,) of −1 or 1 → uint8 of this shape."""

_MOST_DEGREES = 30


def autocontrast(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Stretch each channel to 0…255."""
    low = images.amin((2, 3), keepdim=True).double()
    span = images.amax((2, 3), keepdim=True).double() - low
    scale = torch.full_like(span, 255) / span.clamp_min(1)  # 255 over a tensor would be 255 times its reciprocal
    stretched = (images * scale + -low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(span > 0, stretched, images)


def equalize(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Spread each channel's values by their ranks."""
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    of_brightest = counts.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - of_brightest).div(255, rounding_mode="floor")
    before = counts.cumsum(2) - counts
    table = (before + step.div(2, rounding_mode="floor")).div(step.clamp_min(1), rounding_mode="floor").clamp_max(255)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    return table.gather(2, flat).reshape(images.shape).to(torch.uint8)


def posterize(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Keep the highest bits of each byte, 4 at most."""
    dropped = 4 + (levels * 4 / 10).floor().long()
    return images & (256 - (1 << dropped)).to(torch.uint8)[:, None, None, None]


def solarize(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Invert the values above a threshold."""
    threshold = 256 - (levels * 256 / 10).floor()
    return torch.where(images < threshold[:, None, None, None], images, 255 - images)


def rotate(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Turn about the middle, by 30 degrees at most; black comes in."""
    height, width = images.shape[2:]
    degrees = (signs * (levels * _MOST_DEGREES / 10).floor()).long()
    cosine, sine = _turns(images.device)[:, degrees + _MOST_DEGREES]
    middle_x, middle_y = width / 2, height / 2
    return _affine(
        images,
        (cosine, sine, cosine * -middle_x + sine * -middle_y + middle_x),
        (-sine, cosine, -sine * -middle_x + cosine * -middle_y + middle_y),
    )


@lru_cache(maxsize=8)
def _turns(device: torch.device) -> Tensor:
    """Return cosine and sine of −30 … 30 degrees, turned as Pillow turns, rounded as it rounds: float64 (2, 61)."""
    angles = [-math.radians(degrees) for degrees in range(-_MOST_DEGREES, _MOST_DEGREES + 1)]
    rounded = [[round(function(angle), 15) for angle in angles] for function in (math.cos, math.sin)]
    return torch.tensor(rounded, dtype=torch.float64, device=device)


def shear_x(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Move rows sideways in proportion to their height, by 0.3 of it at most."""
    one, none = torch.ones_like(levels), torch.zeros_like(levels)
    return _affine(images, (one, signs * (levels * 0.3 / 10), none), (none, one, none))


def shear_y(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Move columns up or down in proportion to their place, by 0.3 of it at most."""
    one, none = torch.ones_like(levels), torch.zeros_like(levels)
    return _affine(images, (one, none, none), (signs * (levels * 0.3 / 10), one, none))


def translate_x(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Move sideways by a third of the width at most, in whole pixels."""
    one, none = torch.ones_like(levels), torch.zeros_like(levels)
    return _affine(images, (one, none, signs * _moved(levels, images.shape[3])), (none, one, none))


def translate_y(images: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Move up or down by a third of the height at most, in whole pixels."""
    one, none = torch.ones_like(levels), torch.zeros_like(levels)
    return _affine(images, (one, none, none), (none, one, signs * _moved(levels, images.shape[2])))


def _moved(levels: Tensor, side: int) -> Tensor:
    return (levels * (side / 3) / 10).floor()


OPERATIONS: tuple[Operation, ...] = (
    autocontrast,
    equalize,
    posterize,
    rotate,
    solarize,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)
"""The nine of the published AugMix: none that the benchmark's corruptions do as well."""


def _affine(images: Tensor, to_x: tuple[Tensor, ...], to_y: tuple[Tensor, ...]) -> Tensor:
    """Return images read between their pixels where an affine map says, 0 outside.

    Args:
        images: uint8 (n, c, h, w).
        to_x: what of x, of y and of 1 a source's x is, float64 (n,) each; places count from the corner of a pixel.
        to_y: the same of a source's y.
    """
    n_channels, height, width = images.shape[1:]
    x = torch.arange(width, dtype=torch.float64, device=images.device) + 0.5
    y = torch.arange(height, dtype=torch.float64, device=images.device).unsqueeze(1) + 0.5
    source_x, source_y = (a[:, None, None] * x + b[:, None, None] * y + c[:, None, None] for a, b, c in (to_x, to_y))
    is_inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    left, upper = (source_x - 0.5).floor(), (source_y - 0.5).floor()
    right_share, lower_share = source_x - 0.5 - left, source_y - 0.5 - upper
    flat = images.flatten(2)

    def row(place: Tensor) -> Tensor:
        first = place.clamp(0, height - 1) * width
        near, far = (
            flat.gather(
                2, (first + column.clamp(0, width - 1)).long().flatten(1).unsqueeze(1).expand(-1, n_channels, -1)
            )
            .reshape(images.shape)
            .double()
            for column in (left, left + 1)
        )
        return near + (far - near) * right_share.unsqueeze(1)

    above, below = row(upper), row(upper + 1)
    return (above + (below - above) * lower_share.unsqueeze(1)).where(is_inside.unsqueeze(1), 0).to(torch.uint8)
