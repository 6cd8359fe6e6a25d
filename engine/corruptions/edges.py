"""Edges, distances and histograms of small byte images in whole numbers, batched; as OpenCV computes them."""

from __future__ import annotations

import numpy as np
import torch

from engine.corruptions.image_filters import pad

_SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
# tan(22.5°) in units of 2**-15
_TANGENT = 13573
# The 5×5 chamfer mask: steps along an axis, along a diagonal, and a knight's move, in units of 2**-16.
_STRAIGHT, _DIAGONAL, _KNIGHT = 65536, 91750, 143976
_FAR = 1 << 28
_STEPS_AT_A_TIME = 16
"""Of growing on a GPU, before the host waits to hear whether there was anything left to reach."""


def _neighbour(padded: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Return each pixel's neighbour, of images that were padded by one."""
    height, width = padded.shape[-2] - 2, padded.shape[-1] - 2
    return padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]


def canny(images: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Return Canny's edges: 3×3 Sobel, |dx| + |dy|, thinned, weak ones kept where they hang on strong ones.

    Args:
        images: int32 (n, h, w) in 0…255.
        low: weak edges are stronger than this.
        high: strong edges are stronger than this.

    Returns:
        bool (n, h, w).
    """
    padded = pad(images, 1, "nearest")
    taps = [(row, column) for row in range(3) for column in range(3)]
    along_x = sum(_neighbour(padded, r - 1, c - 1) * int(_SOBEL[r, c]) for r, c in taps if _SOBEL[r, c])
    along_y = sum(_neighbour(padded, r - 1, c - 1) * int(_SOBEL[c, r]) for r, c in taps if _SOBEL[c, r])
    assert isinstance(along_x, torch.Tensor)
    assert isinstance(along_y, torch.Tensor)
    width, height = along_x.abs(), along_y.abs()
    strength = width + height
    around = torch.nn.functional.pad(strength, (1, 1, 1, 1))

    def peak(down: int, right: int, *, strictly: bool) -> torch.Tensor:
        after = _neighbour(around, down, right)
        return (strength > _neighbour(around, -down, -right)) & (strength > after if strictly else strength >= after)

    flat = width * _TANGENT
    steep = flat + (width << 16)
    height = height << 15
    falling = peak(1, 1, strictly=True)
    rising = peak(1, -1, strictly=True)
    oblique = torch.where((along_x ^ along_y) < 0, rising, falling)
    thinned = torch.where(height > steep, peak(1, 0, strictly=False), oblique)
    thinned = torch.where(height < flat, peak(0, 1, strictly=False), thinned)
    weak = thinned & (strength > low)
    return _grow(weak & (strength > high), weak)


def _grow(seeds: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Return what can be reached from the seeds by steps to any of the eight neighbours within what is allowed."""
    at_a_time = 1 if seeds.device.type == "cpu" else _STEPS_AT_A_TIME
    while True:
        before = seeds
        for _ in range(at_a_time):
            padded = torch.nn.functional.pad(seeds, (1, 1, 1, 1))
            columns = padded[..., :-2] | padded[..., 1:-1] | padded[..., 2:]
            seeds = (columns[:, :-2] | columns[:, 1:-1] | columns[:, 2:]) & allowed
        if bool((seeds == before).all()):
            return seeds


def chamfer_distance(targets: torch.Tensor) -> torch.Tensor:
    """Return the distance to the nearest target, by straight, diagonal and knight's moves, in units of 2**-16.

    Rows go one after the other, down and then up; within a row a running minimum does all columns at once.

    Args:
        targets: bool (n, h, w).

    Returns:
        int32 (n, h, w); without a target in the image, at least 2**27.
    """
    distance = torch.where(targets, 0, _FAR).to(torch.int32)
    forward = _sweep(distance)
    return _sweep(forward.flip(1, 2)).flip(1, 2)


def _sweep(distance: torch.Tensor) -> torch.Tensor:
    n_rows, n_columns = distance.shape[1:]
    # Two rows above and two columns at each side are far from everything.
    done = torch.nn.functional.pad(distance, (2, 2, 2, 0), value=_FAR)
    ramp = torch.arange(n_columns, dtype=torch.int32, device=distance.device) * _STRAIGHT
    for row in range(2, n_rows + 2):
        above, higher = done[:, row - 1], done[:, row - 2]
        sides = torch.minimum(above[:, 1:-3], above[:, 3:-1]) + _DIAGONAL
        knights = torch.minimum(
            torch.minimum(above[:, :-4], above[:, 4:]), torch.minimum(higher[:, 1:-3], higher[:, 3:-1])
        )
        best = torch.minimum(torch.minimum(above[:, 2:-2] + _STRAIGHT, sides), knights + _KNIGHT)
        best = torch.minimum(best, done[:, row, 2:-2])
        done[:, row, 2:-2] = (best - ramp).cummin(dim=1).values + ramp
    return done[:, 2:, 2:-2]


def box_sum(images: torch.Tensor) -> torch.Tensor:
    """Return the sum over each 3×3 neighbourhood of whole numbers (n, h, w), the border mirrored."""
    padded = pad(images, 1, "mirror")
    columns = padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]
    return columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]


def equalize_histogram(images: torch.Tensor) -> torch.Tensor:
    """Return images whose values are spread over 0…255 by their ranks; an image of one value stays.

    Args:
        images: int64 (n, h, w) in 0…255.
    """
    flat = images.flatten(1)
    counts = torch.zeros(len(images), 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = flat.amin(dim=1, keepdim=True)
    above_lowest = counts.cumsum(dim=1) - counts.gather(1, lowest)
    n_others = flat.shape[1] - counts.gather(1, lowest)
    # A plain 255 over a tensor would be 255 times its rounded reciprocal.
    scale = torch.full_like(n_others, 255).float() / n_others.clamp(min=1).float()
    table = (above_lowest.clamp(min=0).float() * scale).round().long()
    table = torch.where(n_others == 0, lowest, table)
    return table.gather(1, flat).reshape(images.shape)
