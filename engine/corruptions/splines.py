"""Cubic B-splines through or near an image's pixels, mirrored at its edges, as scipy.ndimage has them."""

from __future__ import annotations

from functools import lru_cache

import torch

from engine.corruptions.image_filters import fold_positions


def spline_coefficients(images: torch.Tensor) -> torch.Tensor:
    """Return the coefficients of the splines that go through the pixels of float64 images (…, h, w)."""
    rows, columns = (_inverse(length, images.device) for length in images.shape[-2:])
    return rows @ images @ columns.mT


@lru_cache(maxsize=16)
def _inverse(length: int, device: torch.device) -> torch.Tensor:
    """Return the matrix from pixels to coefficients along one axis, float64 (length, length)."""
    values = torch.zeros(length, length, dtype=torch.float64)
    places = torch.arange(length)
    for step, weight in ((-1, 1.0), (0, 4.0), (1, 1.0)):
        near = fold_positions(places + step, length, "mirror")
        values.index_put_((places, near), torch.full((length,), weight / 6, dtype=torch.float64), accumulate=True)
    return torch.linalg.inv(values).to(device)


def spline_weights(part: torch.Tensor) -> list[torch.Tensor]:
    """Return the weights of the four coefficients around a place, ``part`` in [0, 1) behind the second of them."""
    rest = 1 - part
    first = rest * rest * rest / 6
    second = (part * part * (part - 2) * 3 + 4) / 6
    third = (rest * rest * (rest - 2) * 3 + 4) / 6
    return [first, second, third, 1 - first - second - third]


def sample_spline(coefficients: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return splines (n, c, h, w) at the same places (k, l): (n, c, k, l); outside the pixels' grid it is 0."""
    height, width = coefficients.shape[2:]
    upper, left = rows.floor(), columns.floor()
    # Whole pixels are moved: their axes come before the images.
    flat = coefficients.permute(2, 3, 0, 1).reshape(height * width, -1)
    total = flat.new_zeros((rows.numel(), flat.shape[1]))
    of_rows, of_columns = spline_weights(rows - upper), spline_weights(columns - left)
    for row_step, row_weight in enumerate(of_rows, start=-1):
        row = fold_positions((upper + row_step).long(), height, "mirror")
        for column_step, column_weight in enumerate(of_columns, start=-1):
            column = fold_positions((left + column_step).long(), width, "mirror")
            taken = flat.index_select(0, (row * width + column).flatten())
            total += taken.mul_(row_weight.reshape(-1, 1)).mul_(column_weight.reshape(-1, 1))
    is_inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    total = total.reshape(*rows.shape, *coefficients.shape[:2]).permute(2, 3, 0, 1)
    return total.where(is_inside, 0)


def zoomed_places(length: int, factor: float, device: torch.device) -> torch.Tensor:
    """Return where the middle ``length`` pixels of an axis lie that is enlarged, float64 (length,).

    Args:
        length: of the axis.
        factor: ≥ 1.
        device: where the result lies.
    """
    enlarged = round(length * factor)
    scale = (length - 1) / (enlarged - 1) if enlarged > 1 else 0.0
    return (torch.arange(length, dtype=torch.float64, device=device) + (enlarged - length) // 2) * scale
