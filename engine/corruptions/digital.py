"""Contrast, saturation, pixelation, JPEG compression and the elastic transform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.colour import hsv_to_rgb, require_channels, rgb_to_hsv
from engine.corruptions.draws import Draws
from engine.corruptions.image_filters import fold_positions, gaussian_filter
from engine.corruptions.jpeg import through_jpeg
from engine.corruptions.pixels import constants, divide, to_bytes, to_unit

_COEFFICIENT_BITS = 22
_SUBPIXELS = 32


@register_corruption("contrast")
def contrast(images: torch.Tensor, factor: float, draws: Draws) -> torch.Tensor:
    """Shrink each channel's differences from its mean over the image by ``factor``."""
    values = to_unit(images)
    # Whole numbers sum exactly, in any order and on any device.
    means = divide(images.sum(dim=(2, 3), keepdim=True).double(), 255 * images[0, 0].numel())
    return to_bytes((values - means) * factor + means)


@register_corruption("saturate")
def saturate(images: torch.Tensor, constants: tuple[float, float], draws: Draws) -> torch.Tensor:
    """Scale and shift the saturation of colour images; a shifted grey turns reddish, as grey has the hue of red.

    Args:
        images: uint8 (n, 3, h, w).
        constants: the factor and what is added.
        draws: unused.
    """
    require_channels(images, "saturate", (3,))
    factor, added = constants
    hue, saturation, value = rgb_to_hsv(to_unit(images))
    return to_bytes(hsv_to_rgb(hue, (saturation * factor + added).clamp(0, 1), value))


@register_corruption("pixelate")
def pixelate(images: torch.Tensor, scale: float, draws: Draws) -> torch.Tensor:
    """Shrink to int(side·``scale``), at least 1, and enlarge again, both by area means that are rounded."""
    height, width = images.shape[2:]
    small = resize_box(images, max(1, int(height * scale)), max(1, int(width * scale)))
    return resize_box(small, height, width)


def resize_box(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return uint8 images resized by area means, columns and then rows rounded to bytes, as Pillow's BOX does."""
    # Whole rows of pixels are moved: the axis to resize comes before the images.
    narrowed = _resize_axis(images.permute(3, 2, 0, 1).contiguous(), 0, width)
    return _resize_axis(narrowed, 1, height).permute(2, 3, 1, 0).contiguous()


def _resize_axis(images: torch.Tensor, dim: int, length: int) -> torch.Tensor:
    """Return uint8 images with one axis resized; sums are whole numbers below 2**31, as Pillow's."""
    places, weights = _box_taps(images.shape[dim], length, images.device)
    parts = [images.index_select(dim, column) for column in places.T]
    if len(parts) == 1:  # each new pixel is an old one
        return parts[0]
    shape = [-1] + [1] * (images.ndim - 1 - dim)
    total = torch.full((), 1 << (_COEFFICIENT_BITS - 1), dtype=torch.int32, device=images.device)
    for part, weight in zip(parts, weights.T, strict=True):
        total = total + part.int().mul_(weight.reshape(shape))
    return (total >> _COEFFICIENT_BITS).clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=64)
def _box_taps(n_before: int, n_after: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the old pixels of each new one and their weights in units of 2**-22: int64 and int32 (n_after, n_taps)."""
    scale = n_before / n_after
    support = 0.5 * max(scale, 1.0)
    middles = (np.arange(n_after)[:, None] + 0.5) * scale
    old = np.arange(n_before)
    first = np.maximum((middles - support + 0.5).astype(np.int64), 0)
    end = np.minimum((middles + support + 0.5).astype(np.int64), n_before)
    position = (old - middles + 0.5) / max(scale, 1.0)
    inside = (old >= first) & (old < end) & (position > -0.5) & (position <= 0.5)
    counts = inside.sum(axis=1, keepdims=True)
    taps = np.arange(np.max(counts))
    places = np.minimum(inside.argmax(axis=1)[:, None] + taps, n_before - 1)
    weights = np.where(taps < counts, np.floor(0.5 + 2**_COEFFICIENT_BITS / counts), 0).astype(np.int32)
    return torch.from_numpy(places).to(device), torch.from_numpy(weights).to(device)


@register_corruption("jpeg_compression")
def jpeg_compression(images: torch.Tensor, quality: int, draws: Draws) -> torch.Tensor:
    """Save as JPEG of ``quality`` with halved chroma (4:2:0) and read again; one channel as grey. See `jpeg`."""
    require_channels(images, "jpeg_compression")
    return through_jpeg(images, quality)


@register_corruption("elastic_transform")
def elastic_transform(images: torch.Tensor, constants: tuple[float, float, float], draws: Draws) -> torch.Tensor:
    """Move three points at random (an affine map), then each pixel by a smooth random field.

    Args:
        images: uint8 (n, c, h, w).
        constants: the field's strength, the sigma that smooths it, and how far the points move at most, each as a share
            of the shorter side.
        draws: uniform in (−1, 1): the points' moves (3, 2), x before y; then the field's two parts (h, w), x first.
    """
    height, width = images.shape[2:]
    strength, sigma, jitter = (min(height, width) * share for share in constants)
    values = _affine(to_unit(images, torch.float32), draws.uniform("points", (3, 2), -jitter, jitter))
    if strength > 0:
        moves = []
        for axis in ("x", "y"):
            noise = draws.uniform(f"field {axis}", (height, width), -1, 1)
            moves.append((strength * gaussian_filter(noise, sigma, truncate=3, border="reflect")).float().double())
        rows = torch.arange(height, device=images.device).unsqueeze(1) + moves[1]
        columns = torch.arange(width, device=images.device) + moves[0]
        values = sample_bilinear(values.double(), rows, columns, border="reflect").float()
    return to_bytes(values)


def _affine(images: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Return float32 images warped so that three points move by float64 (n, 3, 2), x before y; borders mirrored.

    Sources are snapped to 1/32 pixel, as OpenCV does.
    """
    height, width = images.shape[2:]
    reach = max(1, min(height, width) // 3)
    middle = constants((width // 2, height // 2), images.device)
    signs = constants((1, 1, 1, -1, -1, -1), images.device).reshape(3, 2)
    moved = ((middle + signs * reach).float() + moves.float()).double()
    # The three points make a right angle along the axes, at the second one: the map's columns are differences.
    right, down = divide(moved[:, 1] - moved[:, 2], 2 * reach), divide(moved[:, 0] - moved[:, 1], 2 * reach)
    corner = middle + signs[1] * reach
    origin = moved[:, 1] - right * corner[0] - down * corner[1]
    determinant = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
    to_column = torch.stack([down[:, 1], -down[:, 0]], dim=1) / determinant.unsqueeze(1)
    to_row = torch.stack([-right[:, 1], right[:, 0]], dim=1) / determinant.unsqueeze(1)
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device).unsqueeze(1)

    def source(inverse: torch.Tensor) -> torch.Tensor:
        shift = -(inverse * origin).sum(dim=1)[:, None, None]
        fine = _SUBPIXELS * _SUBPIXELS
        along_x = (inverse[:, 0, None, None] * x * fine).round()
        along_y = ((inverse[:, 1, None, None] * y + shift) * fine).round()
        return ((along_x + along_y + _SUBPIXELS / 2) / _SUBPIXELS).floor() / _SUBPIXELS

    return sample_bilinear(images, source(to_row), source(to_column), border="mirror")


def sample_bilinear(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, border: str) -> torch.Tensor:
    """Return images (n, c, h, w) read between their pixels at float64 positions (n, h, w)."""
    n_channels, height, width = images.shape[1:]
    upper, left = rows.floor(), columns.floor()
    down, right = (rows - upper).to(images.dtype), (columns - left).to(images.dtype)
    flat = images.flatten(2)
    total = torch.zeros_like(images)
    for row_step in (0, 1):
        row = fold_positions(upper + row_step, height, border)
        row_share = down if row_step else 1 - down
        for column_step in (0, 1):
            column = fold_positions(left + column_step, width, border)
            column_share = right if column_step else 1 - right
            source = (row * width + column).long().flatten(1).unsqueeze(1).expand(-1, n_channels, -1)
            total += flat.gather(2, source).reshape(images.shape) * (row_share * column_share).unsqueeze(1)
    return total
