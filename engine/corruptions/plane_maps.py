"""Pictures turned, scaled, sheared, moved and tilted as Pillow and OpenCV do it: what comes from outside is black.

A map is the same for all images: its points are computed once, on the CPU, in 64 bits.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

_FINE = 32
"""Parts of a pixel that OpenCV knows."""
_KEPT = 48
"""Maps that stay on a device: those of a sequence's frames, 2 MB each at 224 pixels."""


def inverse_affine(
    height: int, width: int, *, degrees: float = 0.0, factor: float = 1.0, shear: float = 0.0
) -> np.ndarray:
    """Return the affine map, float64 (2, 3), that takes points (column, row) of a changed picture to the picture's.

    Args:
        height: of the picture, whose middle stays.
        width: of the picture.
        degrees: of a clockwise turn.
        factor: how much larger things get, > 0.
        shear: along the rows, in degrees.
    """
    turn, slope = math.radians(degrees), math.tan(math.radians(shear))
    first = math.cos(turn), -math.cos(turn) * slope - math.sin(turn)
    second = math.sin(turn), -math.sin(turn) * slope + math.cos(turn)
    column, row = width * 0.5, height * 0.5
    lines = (second[1] / factor, -first[1] / factor, column), (-second[0] / factor, first[0] / factor, row)
    return np.array([(a, b, (a * -column + b * -row) + middle) for a, b, middle in lines])


def warped(images: torch.Tensor, inverse: np.ndarray) -> torch.Tensor:
    """Return uint8 images (n, c, h, w) under an affine map, read between pixels and truncated, as Pillow does.

    Args:
        images: uint8 (n, c, h, w).
        inverse: of ``inverse_affine``; the middle of a pixel lies at a half.
    """
    places, across, down, is_inside = _affine_taps(*images.shape[2:], tuple(inverse.ravel().tolist()), images.device)
    flat = images.flatten(2)
    upper_left, upper_right, lower_left, lower_right = (
        flat.index_select(2, place).double().reshape(images.shape) for place in places
    )
    above, below = (
        first + (second - first) * across for first, second in ((upper_left, upper_right), (lower_left, lower_right))
    )
    return (above + (below - above) * down).to(torch.uint8).where(is_inside, 0)


@lru_cache(maxsize=_KEPT)
def _affine_taps(
    height: int, width: int, inverse: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the four pixels about each point, int64 (4, h·w), the shares of the right and the lower ones, float64, and
    which points are inside: (h, w).
    """
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = (a * columns + b * rows + c for a, b, c in np.reshape(inverse, (2, 3)))
    is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    left, upper = np.floor(x - 0.5), np.floor(y - 0.5)
    places = [
        (upper + down).clip(0, height - 1) * width + (left + across).clip(0, width - 1)
        for down in (0, 1)
        for across in (0, 1)
    ]
    flat = np.stack(places).astype(np.int64).reshape(4, -1)
    found = (flat, x - 0.5 - left, y - 0.5 - upper, is_inside)
    places_there, across_there, down_there, inside_there = (torch.from_numpy(array).to(device) for array in found)
    return places_there, across_there, down_there, inside_there


def moved(images: torch.Tensor, columns: int) -> torch.Tensor:
    """Return images (n, c, h, w) moved by whole columns to the right."""
    found = torch.zeros_like(images)
    width = images.shape[3]
    if abs(columns) < width:
        found[..., max(columns, 0) : width + min(columns, 0)] = images[..., max(-columns, 0) : width - max(columns, 0)]
    return found


def tilted(images: torch.Tensor, degrees: float) -> torch.Tensor:
    """Return uint8 images (n, c, h, w) turned about both axes in space, seen from as far as the diagonal is long.

    The benchmark's plane is one pixel deeper than that, so that it looks smaller even where nothing is turned. Points
    are snapped to 1/32 pixel, as OpenCV does, and values rounded.
    """
    places, shares = _tilt_taps(*images.shape[2:], degrees, images.device)
    flat = images.flatten(2)
    total = torch.full((), _FINE * _FINE // 2, dtype=torch.int32, device=images.device)
    for place, share in zip(places, shares, strict=True):
        total = total + flat.index_select(2, place).int() * share
    return (total // (_FINE * _FINE)).to(torch.uint8).reshape(images.shape)


@lru_cache(maxsize=_KEPT)
def _tilt_taps(height: int, width: int, degrees: float, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the four pixels about each point, int64 (4, h·w), and their weights in units of 2**-10, int32 (4, h·w)."""
    inverse = np.linalg.inv(_tilt(height, width, math.radians(degrees)))
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    x, y, depth = (a * columns + b * rows + c for a, b, c in inverse)
    x, y = (np.rint(values * (_FINE / depth)).astype(np.int64) for values in (x, y))
    places, shares = [], []
    for down in (0, 1):
        for across in (0, 1):
            row, column = y // _FINE + down, x // _FINE + across
            is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            places.append(row.clip(0, height - 1) * width + column.clip(0, width - 1))
            shares.append(_share(y % _FINE, down) * _share(x % _FINE, across) * is_inside)
    flat = (np.stack(places).reshape(4, -1), np.stack(shares).astype(np.int32).reshape(4, -1))
    there, weights = (torch.from_numpy(array).to(device) for array in flat)
    return there, weights


def _tilt(height: int, width: int, angle: float) -> np.ndarray:
    """Return the projection, float64 (3, 3), of a picture that is turned by an angle, in radians, about both axes."""
    far, cosine, sine = math.sqrt(width**2 + height**2), math.cos(angle), math.sin(angle)
    into_space = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1], [0, 0, 1]])
    about_rows = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    about_columns = np.array([[cosine, 0, -sine, 0], [0, 1, 0, 0], [sine, 0, cosine, 0], [0, 0, 0, 1]])
    away = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, far], [0, 0, 0, 1]])
    onto_plane = np.array([[far, 0, width / 2, 0], [0, far, height / 2, 0], [0, 0, 1, 0]])
    return onto_plane @ away @ about_rows @ about_columns @ into_space


def _share(part: np.ndarray, step: int) -> np.ndarray:
    """Return the weight, of 32, of the pixel before a point (step 0) or behind it."""
    return part if step else _FINE - part
