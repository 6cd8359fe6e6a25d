"""The blurs: Gaussian, defocus, glass, motion, zoom.

Radii and sigmas are pixels at every image size; zooms are shares of the side. Channels don't mix: any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.draws import Draws
from engine.corruptions.exact import exp
from engine.corruptions.image_filters import correlate, gaussian_filter, line_blur, zoom
from engine.corruptions.pixels import divide, to_bytes, to_unit
from engine.errors import InputError

_SMALL_DISK = 8
"""Radius up to which a disk's square is as large as this one's, and what softens it 3×3."""


@register_corruption("gaussian_blur")
def gaussian_blur(images: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """Blur by a Gaussian of ``sigma`` pixels, edge pixels repeated."""
    return to_bytes(gaussian_filter(to_unit(images), sigma))


@register_corruption("defocus_blur")
def defocus_blur(images: torch.Tensor, constants: tuple[float, float], draws: Draws) -> torch.Tensor:
    """Blur by a disk.

    Args:
        images: uint8 (n, c, h, w).
        constants: the disk's radius, and the sigma of the 3×3 Gaussian that softens the disk; pixels.
        draws: unused.
    """
    return to_bytes(correlate(to_unit(images), disk(*constants), border="mirror"))


def disk(radius: float, sigma: float) -> np.ndarray:
    """Return a softened disk as a float32 square with odd side, cut to where it is not zero.

    float32 as the benchmark's: its sum of 1 − 1e−8 decides which way whole numbers are truncated. A disk of radius 8 or
    more touches the edges of its square, which count as mirrors: its sum is 1 % above 1, and the picture gets brighter.
    Above 8 what softens it is 5×5.
    """
    reach = max(_SMALL_DISK, math.ceil(radius))
    offsets = np.arange(-reach, reach + 1)
    kernel = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float32)
    kernel /= kernel.sum()
    sides = exp(-0.5 / (sigma * sigma) * np.arange(2 if radius <= _SMALL_DISK else 3) ** 2)
    weights = (sides / (sides[0] + 2 * sides[1:].sum())).astype(np.float32)
    for axis in (1, 0):
        soft = weights[0] * kernel
        for step, weight in enumerate(weights[1:], start=1):
            soft = soft + weight * (_shifted(kernel, step, axis) + _shifted(kernel, -step, axis))
        kernel = soft
    used = int(np.abs(offsets[kernel.any(axis=0)]).max())
    return kernel[reach - used : reach + used + 1, reach - used : reach + used + 1]


def _shifted(kernel: np.ndarray, step: int, axis: int) -> np.ndarray:
    """Return a square moved along an axis, mirrored about its edge pixels."""
    padding = [(0, 0), (0, 0)]
    padding[axis] = (abs(step), abs(step))
    first = abs(step) - step
    return np.pad(kernel, padding, mode="reflect").take(range(first, first + len(kernel)), axis)


@register_corruption("glass_blur")
def glass_blur(
    images: torch.Tensor, constants: tuple[float, int] | tuple[float, int, int], draws: Draws
) -> torch.Tensor:
    """Blur, let pixels take their neighbours' places at random, and blur again.

    The benchmark means to swap two pixels, but copies one over the other, from the last pixel to the first. With a
    reach of 1 a step goes up or to the left, where nothing was replaced yet, and a pass is a gather from the picture
    before it; with a longer one it may go to a pixel that has another's place already (see `_taken_from`).

    Args:
        images: uint8 (n, c, h, w), sides > 2·reach to have an effect.
        constants: sigma in pixels, the number of passes, and how far a step reaches, in pixels; 1 if it is not said.
        draws: two steps of −reach … reach − 1 a pixel and pass, x before y, from the last pixel to the first.
    """
    sigma, n_passes, *others = constants
    (reach,) = others or (1,)
    if reach != int(reach) or reach < 1:
        raise InputError(f"a step of glass_blur must reach a whole number of pixels ≥ 1, got {reach}")
    reach = int(reach)
    n_images, n_channels, height, width = images.shape
    blurred = to_bytes(gaussian_filter(to_unit(images), sigma)).flatten(2)
    moving = (max(height - 2 * reach, 0), max(width - 2 * reach, 0))
    steps = draws.integers("steps", -reach, reach, (n_passes, *moving, 2)).flip(2, 3)
    places = torch.arange(height * width, device=images.device).reshape(1, height, width)
    within = [slice(reach + 1, max(reach + 1, length - reach + 1)) for length in (height, width)]
    for number in range(n_passes):
        sources = places.repeat(n_images, 1, 1)
        sources[:, within[0], within[1]] += steps[:, number, ..., 1] * width + steps[:, number, ..., 0]
        if reach > 1:
            sources = _taken_from(sources, within)
        blurred = blurred.gather(2, sources.reshape(n_images, 1, -1).expand(-1, n_channels, -1))
    return to_bytes(gaussian_filter(to_unit(blurred.reshape(images.shape)), sigma))


def _taken_from(sources: torch.Tensor, within: Sequence[slice]) -> torch.Tensor:
    """Return which pixel of the picture before a pass comes to each place when places are filled from the last.

    A later place was filled before, and has what its own source had: paths are followed twice as far in each round.

    Args:
        sources: int64 (n, h, w), the place that each place copies.
        within: the rows and columns that are filled.
    """
    n_images, height, width = sources.shape
    is_filled = torch.zeros(height, width, dtype=torch.bool, device=sources.device)
    is_filled[within[0], within[1]] = True
    taken = sources.flatten(1)
    places = torch.arange(height * width, device=sources.device)
    goes_on = (taken > places) & is_filled.flatten()[taken]
    for _ in range((height * width).bit_length()):
        if sources.device.type == "cpu" and not goes_on.any():
            break
        taken, goes_on = (
            torch.where(goes_on, taken.gather(1, taken), taken),
            goes_on & goes_on.gather(1, taken),
        )
    return taken.reshape(n_images, height, width)


@register_corruption("motion_blur")
def motion_blur(images: torch.Tensor, constants: tuple[float, float], draws: Draws) -> torch.Tensor:
    """Blur along a line to one side.

    Args:
        images: uint8 (n, c, h, w).
        constants: radius (the line has 2·ceil(radius) + 1 taps) and sigma of the weights along it; pixels.
        draws: one angle an image, U(−45°, 45°).
    """
    return line_blur(images, draws.uniform("angle", (), -45, 45), *constants)


@register_corruption("zoom_blur")
def zoom_blur(images: torch.Tensor, constants: int | tuple[int, float], draws: Draws) -> torch.Tensor:
    """Average an image with its zooms 1.00, 1.01, …, in float32; the zoom of 1 makes the image itself count twice.

    Args:
        images: uint8 (n, c, h, w).
        constants: the number of zooms, and the step from one to the next, 0.01 where that is not said.
        draws: unused.
    """
    n_zooms, step = constants if isinstance(constants, tuple) else (constants, 0.01)
    if step <= 0:
        raise InputError(f"the step of zoom_blur from one zoom to the next must be > 0, got {step}")
    values = to_unit(images.permute(2, 3, 0, 1), torch.float32).contiguous()
    exact = values.double()
    total = torch.zeros_like(values)
    for number in range(n_zooms):
        # numpy.arange's own steps: 1.01 − 1 is a little more than 0.01, which decides how a half is rounded.
        total += zoom(exact, 1 + number * (1 + step - 1)).float()
    return to_bytes(divide(values + total, n_zooms + 1)).permute(2, 3, 0, 1).contiguous()
