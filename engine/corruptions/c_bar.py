"""What the corruptions of C-bar share: levels, coordinates, and reading between pixels.

CIFAR-10-C-bar and ImageNet-C-bar (Mintun, Kirillov and Xie, "On interaction between augmentations and corruptions in
natural corruption robustness", NeurIPS 2021) have ten corruptions each, chosen to be unlike those of C. Their strength
is a magnitude m in [0, 10]; a side S is the shorter one of the image. Points are (row, column).
"""

from __future__ import annotations

import torch

GREATEST = 10
"""Magnitude at which a strength is its maximum."""


def strength(magnitude: float, greatest: float) -> float:
    """Return a strength that is ``greatest`` at magnitude 10, in the benchmark's own order of operations."""
    return magnitude / GREATEST * greatest


def levels(values: torch.Tensor) -> torch.Tensor:
    """Return floats, clipped to [0, 255], as bytes, truncated."""
    return values.clamp(0, 255).to(torch.uint8)


def side_of(images: torch.Tensor) -> int:
    """Return the shorter side of images (n, c, h, w)."""
    return min(images.shape[2:])


def coordinates(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixels' rows (h, 1) and columns (w,), float64 on the images' device."""
    height, width = images.shape[2:]
    rows = torch.arange(height, dtype=torch.float64, device=images.device).unsqueeze(1)
    return rows, torch.arange(width, dtype=torch.float64, device=images.device)


def each(values: torch.Tensor) -> torch.Tensor:
    """Return a number for each image, (n,), so that it meets maps (n, h, w)."""
    return values[:, None, None]


def sample_or_black(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return float images (n, c, h, w) read between their pixels at (n, k, l): (n, c, k, l); outside all is 0."""
    n_channels, height, width = images.shape[1:]
    upper, left = rows.floor(), columns.floor()
    flat = images.flatten(2)

    def pixel(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long().flatten(1)
        taken = flat.gather(2, place.unsqueeze(1).expand(-1, n_channels, -1))
        return taken.reshape(len(images), n_channels, *rows.shape[1:]).where(is_inside.unsqueeze(1), 0)

    shares = (upper + 1 - rows, rows - upper, left + 1 - columns, columns - left)
    of_upper, of_lower, of_left, of_right = (share.unsqueeze(1).to(images.dtype) for share in shares)
    above, below = (pixel(row, left) * of_left + pixel(row, left + 1) * of_right for row in (upper, upper + 1))
    return above * of_upper + below * of_lower
