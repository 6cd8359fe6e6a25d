"""C-bar's lines: grey and soft-edged, from one end of the picture to the other."""

from __future__ import annotations

import math

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.c_bar import levels, side_of, strength
from engine.corruptions.draws import Draws
from engine.corruptions.sines import cosine, sine

_GREY = 128


@register_corruption("lines")
def lines(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Draw lines, one after the other.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; a tenth of it times the side is the number of lines.
        draws: the lines' direction, how far single ones may be from it, and each line's middle and turn.
    """
    side = side_of(images)
    n_lines = int(strength(magnitude, 1.0) * side)
    direction = draws.uniform("angle", (), 0, 2 * math.pi).unsqueeze(1)
    variation = draws.uniform("variation", (), 0.1, 1).unsqueeze(1)
    if n_lines == 0:
        return images.clone()
    row, column, turn = draws.uniform("lines", (n_lines, 3)).unbind(2)
    row, column, angle = row * side, column * side, direction + 2 * math.pi * variation * (turn - 0.5)
    down, right = cosine(angle) * side, sine(angle) * side
    ends = [place.trunc().long() for place in (row - down, column - right, row + down, column + right)]
    places, shares = _soft_lines(*ends, side=side)
    values = images.flatten(2)
    for line in range(n_lines):
        coverage = _coverage(places[:, line], shares[:, line], images.shape[2:]).unsqueeze(1)
        values = levels((1 - coverage) * values.double() + coverage * _GREY)
    return values.reshape(images.shape)


def _soft_lines(
    row: torch.Tensor, column: torch.Tensor, last_row: torch.Tensor, last_column: torch.Tensor, *, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixels of lines and how much of each they cover, by Zingl's walk (as skimage's ``line_aa``).

    All lines walk at once, a pixel along their longer extent at a time; each step covers up to three pixels.

    Args:
        row: of one end, int64 (n, lines); so are the other three.
        column: of this end.
        last_row: of the other end.
        last_column: of the other end.
        side: half of a line's length, at most.

    Returns:
        (row, column) and the share covered, in the order of the walk: int64 (n, lines, pixels, 2), float64 (n, lines,
        pixels); below 0 where there is no pixel.
    """
    down, right = (last_row - row).abs(), (last_column - column).abs()
    row_step, column_step = (torch.where(a < b, 1, -1) for a, b in ((row, last_row), (column, last_column)))
    length = (down.square() + right.square()).double().sqrt()
    length = length.where(length > 0, 1)
    error, is_walking = right - down, torch.ones_like(row, dtype=torch.bool)
    found_places, found_shares = [], []

    def cover(of_row: torch.Tensor, of_column: torch.Tensor, gap: torch.Tensor, is_there: torch.Tensor) -> None:
        found_places.append(torch.stack([of_row, of_column], dim=-1))
        found_shares.append((1 - gap.abs() / length).where(is_there, -1))

    for _ in range(2 * side + 3):
        before, old_column = error, column
        cover(row, column, error - right + down, is_walking)
        goes_right = is_walking & (2 * before >= -right)
        is_walking = is_walking & ~(goes_right & (column == last_column))
        goes_right &= is_walking
        cover(row + row_step, column, before + down, goes_right & (before + down < length))
        error = torch.where(goes_right, error - down, error)
        column = torch.where(goes_right, column + column_step, column)
        goes_down = is_walking & (2 * before <= down)
        is_walking = is_walking & ~(goes_down & (row == last_row))
        goes_down &= is_walking
        cover(row, old_column + column_step, right - before, goes_down & (right - before < length))
        error = torch.where(goes_down, error + right, error)
        row = torch.where(goes_down, row + row_step, row)
    return torch.stack(found_places, dim=2), torch.stack(found_shares, dim=2)


def _coverage(places: torch.Tensor, shares: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Return how much a line covers of each pixel, float64 (n, h·w); of a pixel that it meets twice the last counts."""
    height, width = size
    row, column = places.unbind(-1)
    is_there = (shares >= 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = torch.where(is_there, row * width + column, height * width)
    order = torch.arange(1, places.shape[1] + 1, device=places.device).expand_as(place)
    last = torch.zeros(len(places), height * width + 1, dtype=torch.int64, device=places.device)
    last.scatter_reduce_(1, place, order, "amax")
    padded = torch.cat([torch.zeros_like(shares[:, :1]), shares], dim=1)
    return padded.gather(1, last[:, :-1])
