"""Filters and borders that several corruptions share. Sums run in a fixed order, so that devices agree bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch

from engine.corruptions.exact import exp
from engine.corruptions.pixels import divide

_OFF_BY_A_BIT: Mapping[float, Mapping[int, int]] = {
    0.25: {1: -1},
    0.6: {1: 1},
    0.7: {1: 1, 3: -1},
    0.9: {2: -1},
    1.0: {2: -1, 3: 1, 4: -1},
    1.5: {3: -1, 4: 1, 6: -1},
    2.0: {1: -1, 4: -1, 5: -1, 6: 1, 8: -1},
    3.0: {5: 1, 6: -1, 8: 1, 9: 1, 12: -1},
    4.0: {2: -1, 7: -1, 8: -1, 10: -1, 11: 1, 12: 1, 16: -1},
    6.0: {3: -1, 10: 1, 12: -1, 15: -1, 16: 1, 18: 1, 24: -1},
}
"""{sigma of the benchmarks' blurs: {offset: last places}} by which the reference sets' exponentials miss the true ones:
those of numpy with AVX-512. A byte in a hundred thousand lies so near the middle between two levels that it shows."""


@lru_cache(maxsize=256)
def gaussian_weights(sigma: float, radius: int) -> np.ndarray:
    """Return the 2·radius + 1 normalised weights exp(−t²/2σ²), float64, the same everywhere; they are read-only."""
    offsets = np.arange(radius + 1)
    side = exp(-0.5 / (sigma * sigma) * offsets**2)
    for offset, places in _OFF_BY_A_BIT.get(sigma, {}).items():
        if offset <= radius:
            side[offset] = np.nextafter(side[offset], places)  # from within (0, 1): −1 is down, 1 is up
    weights = np.concatenate([side[:0:-1], side])
    weights /= weights.sum()
    weights.setflags(write=False)
    return weights


def border_positions(length: int, radius: int, border: str, device: torch.device) -> torch.Tensor:
    """Return the source positions of −radius … length + radius − 1: int64 (length + 2·radius,) in [0, length).

    Args:
        length: pixels along the axis.
        radius: how far beyond the edges.
        border: "nearest" repeats the edge pixel, "mirror" reflects about it, "reflect" reflects with it doubled.
        device: where the result lies.
    """
    positions = torch.arange(-radius, length + radius, device=device)
    return fold_positions(positions, length, border)


def fold_positions(positions: torch.Tensor, length: int, border: str) -> torch.Tensor:
    """Return whole positions, however far beyond the edges, brought back to [0, length) by the border's rule."""
    if border == "nearest" or length == 1:
        return positions.clamp(0, length - 1)
    period, doubled = (2 * length - 2, 0) if border == "mirror" else (2 * length, 1)
    if positions.is_floating_point():  # `remainder` is slow; this is exact for whole numbers
        positions = positions - divide(positions, period).floor_().mul_(period)
    else:
        positions = positions.remainder(period)
    return torch.minimum(positions, period - doubled - positions)


def pad(images: torch.Tensor, radius: int, border: str) -> torch.Tensor:
    """Return (…, h, w) with ``radius`` more pixels at each side; see `border_positions` for the border's rules."""
    height, width = images.shape[-2:]
    rows = border_positions(height, radius, border, images.device)
    columns = border_positions(width, radius, border, images.device)
    return images.index_select(-2, rows).index_select(-1, columns)


def blur_axis(images: torch.Tensor, weights: np.ndarray, dim: int, border: str = "nearest") -> torch.Tensor:
    """Return a correlation with symmetric weights along one axis, the outermost pair of taps first."""
    radius = len(weights) // 2
    length = images.shape[dim]
    padded = images.index_select(dim, border_positions(length, radius, border, images.device))
    total = padded.narrow(dim, radius, length) * float(weights[radius])
    for tap in range(radius):
        pair = padded.narrow(dim, tap, length) + padded.narrow(dim, 2 * radius - tap, length)
        total += pair * float(weights[tap])
    return total


def gaussian_filter(
    images: torch.Tensor,
    sigma: float,
    *,
    truncate: float = 4.0,
    border: str = "nearest",
    rounded_to: torch.dtype = torch.float64,
) -> torch.Tensor:
    """Return a separable Gaussian of the last two axes, radius int(truncate·sigma + 0.5); sigma 0 changes nothing.

    Args:
        images: float64 (…, h, w).
        sigma: in pixels, ≥ 0.
        truncate: the radius in units of sigma.
        border: see `border_positions`.
        rounded_to: what the sums along the first axis are stored in.
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return images
    weights = gaussian_weights(sigma, radius)
    columns = blur_axis(images, weights, -2, border).to(rounded_to).to(images.dtype)
    return blur_axis(columns, weights, -1, border)


def correlate(images: torch.Tensor, kernel: np.ndarray, border: str) -> torch.Tensor:
    """Return the correlation of the last two axes with a small square kernel of odd side, tap by tap in reading order.

    Args:
        images: float or integer (…, h, w).
        kernel: (k, k); zeros cost nothing.
        border: see `border_positions`.
    """
    radius = len(kernel) // 2
    height, width = images.shape[-2:]
    padded = pad(images, radius, border)
    total = torch.zeros_like(images)
    for row, column in np.argwhere(kernel):
        total += padded[..., row : row + height, column : column + width] * kernel[row, column].item()
    return total


def line_blur(images: torch.Tensor, angles: torch.Tensor, radius: float, sigma: float) -> torch.Tensor:
    """Return images blurred along a line that starts at each pixel, as ImageMagick's motion blur does.

    Taps take the nearest pixel, edge pixels repeated; sums are rounded to 16 bits, then truncated to 8.

    Args:
        images: uint8 (n, c, h, w).
        angles: float64 (n,), degrees, y downwards.
        radius: the line has 2·ceil(radius) + 1 taps.
        sigma: of the weights exp(−i²/2σ²) along the line, pixels.
    """
    n_channels, height, width = images.shape[1:]
    taps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = exp(-(taps**2) / (2 * sigma * sigma))
    weights /= weights.sum()
    values = images.double().flatten(2) * 257
    radians = angles.deg2rad()
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    total = torch.zeros_like(values)
    for tap, weight in zip(taps.tolist(), weights.tolist(), strict=True):
        shift_x = (tap * radians.cos() - 0.5).ceil().long().unsqueeze(1)
        shift_y = (tap * radians.sin() - 0.5).ceil().long().unsqueeze(1)
        row = (rows + shift_y).clamp_(0, height - 1)
        column = (columns + shift_x).clamp_(0, width - 1)
        source = (row.unsqueeze(2) * width + column.unsqueeze(1)).flatten(1).unsqueeze(1)
        total += values.gather(2, source.expand(-1, n_channels, -1)) * weight
    return divide((total + 0.5).floor_(), 257).floor_().to(torch.uint8).reshape(images.shape)


def zoom(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Return the middle of images enlarged about their centre: linear interpolation, corner on corner.

    Args:
        images: float64 (h, w, …): whole pixels are moved, so their axes come first.
        factor: ≥ 1.
    """
    return _zoom_axis(_zoom_axis(images, factor, 0), factor, 1)


def _zoom_axis(images: torch.Tensor, factor: float, dim: int) -> torch.Tensor:
    lower, upper, share = _zoom_taps(images.shape[dim], factor, images.device)
    before, after = images.index_select(dim, lower), images.index_select(dim, upper)
    return after.sub_(before).mul_(share.reshape([-1] + [1] * (images.ndim - 1 - dim))).add_(before)


@lru_cache(maxsize=256)
def _zoom_taps(length: int, factor: float, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the two old pixels that each new one lies between, int64, and how far, float64 in [0, 1]; each (length,).

    They are computed where they are needed, by operations that are rounded correctly everywhere: nothing is copied.
    """
    cropped = math.ceil(length / factor)
    start = (length - cropped) // 2
    enlarged = round(cropped * factor)
    scale = (cropped - 1) / (enlarged - 1) if enlarged > 1 else 0.0
    positions = (torch.arange(length, dtype=torch.float64, device=device) + (enlarged - length) // 2) * scale
    lower = positions.floor().long().clamp_(0, cropped - 1)
    return start + lower, start + (lower + 1).clamp_(max=cropped - 1), positions - lower
