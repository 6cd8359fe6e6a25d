"""What C-bar bends and blurs: pinches and twirls, ripples, motion in a circle, and a lens' coloured edges."""

from __future__ import annotations

import math

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.c_bar import coordinates, each, levels, sample_or_black, side_of, strength
from engine.corruptions.colour import require_channels
from engine.corruptions.draws import Draws
from engine.corruptions.pixels import to_unit
from engine.corruptions.sines import sine
from engine.corruptions.splines import sample_spline, spline_coefficients, zoomed_places

_FEW_CELLS, _MANY_CELLS, _MANY_FROM = 3, 5, 128
_N_TURNS = 10


@register_corruption("pinch_and_twirl")
def pinch_and_twirl(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Pinch the picture at the middles of cells, three or (of larger images) five along a side, and twirl it there.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the angle at a middle is π/20 times it, the pinch 0.1 + 0.04 times it.
        draws: to which side each cell is twirled, column by column.
    """
    side = side_of(images)
    n_cells = _FEW_CELLS if side < _MANY_FROM else _MANY_CELLS
    angles = (draws.integers("signs", 0, 2, (n_cells, n_cells)) * 2 - 1) * strength(magnitude, math.pi / 2)
    cell = side // n_cells
    values = images.float()
    if cell:
        for column in range(n_cells):
            for row in range(n_cells):
                middle = ((row + 0.5) * cell, (column + 0.5) * cell)
                _twirl(values, middle, cell / 2, angles[:, column, row], strength(magnitude, 0.4) + 0.1)
    return levels(values)


def _twirl(values: torch.Tensor, middle: tuple[float, float], radius: float, angle: torch.Tensor, pinch: float) -> None:
    """Pinch and twirl float32 images (n, c, h, w) in place, around one point."""
    first = [max(0, math.floor(place - radius)) for place in middle]
    last = [math.ceil(place + radius) + 1 for place in middle]
    part = values[:, :, first[0] : last[0], first[1] : last[1]]
    rows, columns = coordinates(part)
    down, right = rows + first[0] - middle[0], columns + first[1] - middle[1]
    distance = (down.square() + right.square()).sqrt()
    share = distance / radius
    is_inside = (share < 1) & (share > 0)
    stretch = (math.pi / 2 * share.where(is_inside, 0.5)).sin().pow(-pinch).where(is_inside, 1)
    turn = each(angle) * (1 - share).square()
    cosine, sine = turn.cos() * stretch, turn.sin() * stretch
    source_rows = (cosine * down - sine * right).where(is_inside, down) + middle[0]
    source_columns = (cosine * right + sine * down).where(is_inside, right) + middle[1]
    part.copy_(sample_or_black(values, source_rows, source_columns))


@register_corruption("ripple")
def ripple(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Move rows and columns to and fro.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the amplitude is a 400th of it, as a share of the side.
        draws: the waves' lengths and their phases; rows before columns.
    """
    side = side_of(images)
    lengths = draws.uniform("lengths", (2,), 0.1 * side, 0.3 * side)
    phases = draws.uniform("phases", (2,), 0, 2 * math.pi)
    amplitude = strength(magnitude, 0.025) * side
    rows, columns = coordinates(images)
    moved = [
        place + amplitude * sine(2 * math.pi * place / each(lengths[:, axis]) + each(phases[:, axis]))
        for axis, place in enumerate((rows, columns))
    ]
    shape = (len(images), *images.shape[2:])
    return levels(sample_or_black(images.double(), moved[0].expand(shape), moved[1].expand(shape)))


@register_corruption("circular_motion_blur")
def circular_motion_blur(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Average the picture over turns about its middle.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the furthest turns are by 1.5 degrees times it.
        draws: unused.
    """
    height, width = images.shape[2:]
    middle = ((height - 1) / 2, (width - 1) / 2)
    rows, columns = coordinates(images)
    coefficients = spline_coefficients(to_unit(images, torch.float32).double())
    total, weights = torch.zeros_like(coefficients, dtype=torch.float32), 0.0  # the benchmark's precision
    for turn in range(-_N_TURNS, _N_TURNS + 1):
        place = turn / _N_TURNS
        angle = math.radians(place * strength(magnitude, 15.0))
        weight = math.exp(-2 * place * place)
        cosine, sine = math.cos(angle), math.sin(angle)
        source_rows = cosine * rows + sine * columns + (middle[0] - cosine * middle[0] - sine * middle[1])
        source_columns = cosine * columns - sine * rows + (middle[1] + sine * middle[0] - cosine * middle[1])
        total += weight * sample_spline(coefficients, source_rows, source_columns).float()
        weights += weight
    return levels(total / weights * 255)


@register_corruption("transverse_chromatic_abberation")
def transverse_chromatic_abberation(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Enlarge the channels about the middle, each by another factor; all become smoother.

    Args:
        images: uint8 (n, 3, h, w).
        magnitude: in [0, 10]; the factors are 1, 1 + 0.025 and 1 + 0.05 times it.
        draws: three numbers, whose order is that of the channels' factors.
    """
    require_channels(images, "transverse_chromatic_abberation", (3,))
    which = draws.uniform("order", (3,)).argsort(1)[:, :, None, None]
    values = images.double()
    found = torch.zeros_like(values)
    for step in range(3):
        factor = 1 + strength(magnitude, 0.5) * step / 2
        rows, columns = (zoomed_places(length, factor, images.device) for length in images.shape[2:])
        shape = (len(rows), len(columns))
        enlarged = sample_spline(values, rows.unsqueeze(1).expand(shape), columns.expand(shape))
        found = torch.where(which == step, enlarged, found)
    return levels((found + 0.5).floor())
