"""The blurs: Gaussian, defocus, glass, motion, zoom.

Radii and sigmas are pixels at every image size; zooms are shares of the side. Channels don't mix: any number of them.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.draws import Draws
from engine.corruptions.image_filters import correlate, gaussian_filter, line_blur, zoom
from engine.corruptions.pixels import divide, to_bytes, to_unit


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

    float32 as the benchmark's: its sum of 1 − 1e−8 decides which way whole numbers are truncated.
    """
    reach = 8
    offsets = np.arange(-reach, reach + 1)
    kernel = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float32)
    kernel /= kernel.sum()
    side = np.exp(-0.5 / sigma**2)
    centre, outer = np.float32(1 / (1 + 2 * side)), np.float32(side / (1 + 2 * side))
    for axis in (1, 0):
        kernel = centre * kernel + outer * (np.roll(kernel, 1, axis) + np.roll(kernel, -1, axis))
    used = int(np.abs(offsets[kernel.any(axis=0)]).max())
    return kernel[reach - used : reach + used + 1, reach - used : reach + used + 1]


@register_corruption("glass_blur")
def glass_blur(images: torch.Tensor, constants: tuple[float, int], draws: Draws) -> torch.Tensor:
    """Blur, let pixels take their upper or left neighbours' places at random, and blur again.

    The benchmark means to swap two pixels, but copies one over the other: so each pass, which runs from the last pixel
    to the first, is a gather from the picture before the pass. The first two rows and columns stay.

    Args:
        images: uint8 (n, c, h, w), sides ≥ 3 to have an effect.
        constants: sigma in pixels and the number of passes.
        draws: two steps of −1 or 0 a pixel and pass, x before y, from the last pixel to the first.
    """
    sigma, n_passes = constants
    n_images, n_channels, height, width = images.shape
    blurred = to_bytes(gaussian_filter(to_unit(images), sigma)).flatten(2)
    moving = (max(height - 2, 0), max(width - 2, 0))
    steps = draws.integers("steps", -1, 1, (n_passes, *moving, 2)).flip(2, 3)
    places = torch.arange(height * width, device=images.device).reshape(1, height, width)
    for number in range(n_passes):
        sources = places.repeat(n_images, 1, 1)
        sources[:, 2:, 2:] += steps[:, number, ..., 1] * width + steps[:, number, ..., 0]
        blurred = blurred.gather(2, sources.reshape(n_images, 1, -1).expand(-1, n_channels, -1))
    return to_bytes(gaussian_filter(to_unit(blurred.reshape(images.shape)), sigma))


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
def zoom_blur(images: torch.Tensor, n_zooms: int, draws: Draws) -> torch.Tensor:
    """Average an image with its zooms 1.00, 1.01, …, in float32; the zoom of 1 makes the image itself count twice."""
    values = to_unit(images.permute(2, 3, 0, 1), torch.float32).contiguous()
    exact = values.double()
    total = torch.zeros_like(values)
    for step in range(n_zooms):
        # numpy.arange's own steps: 1.01 − 1 is a little more than 0.01, which decides how a half is rounded.
        total += zoom(exact, 1 + step * (1.01 - 1)).float()
    return to_bytes(divide(values + total, n_zooms + 1)).permute(2, 3, 0, 1).contiguous()
