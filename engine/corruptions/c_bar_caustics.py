"""C-bar's caustics: light through moving water, and what is seen through it."""

from __future__ import annotations

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.c_bar import coordinates, each, sample_or_black, side_of, strength
from engine.corruptions.draws import Draws
from engine.corruptions.image_filters import gaussian_filter
from engine.corruptions.pixels import to_bytes, to_unit

_CIRCLE = 6.28318530718
"""The benchmark's 2π."""
_N_ITERATIONS = 5
_ETA = 4.0


@register_corruption("caustic_refraction")
def caustic_refraction(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """See the picture through water, and lit through it.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; how far the water bends rays, and how bright its edges are.
        draws: the time, and the side of the pattern.
    """
    side = side_of(images)
    time = each(draws.uniform("time", (), 0.5, 2))
    size = each(draws.uniform("size", (), 0.75 * side, 1.25 * side))
    rows, columns = coordinates(images)
    light = gaussian_filter(_light(rows / size, columns / size, time), 1.0, border="reflect")
    slopes = _slopes(light)
    bend = strength(magnitude, 0.5) * side
    down, right = _refracted(*slopes)
    moved_rows, moved_columns = (
        (place * 1000).round() / 1000 for place in (rows + down * bend, columns + right * bend)
    )
    seen = sample_or_black(to_unit(images, torch.float32), moved_rows, moved_columns)
    return to_bytes(seen + strength(magnitude, 2.0) * (slopes[0] - slopes[1]).unsqueeze(1))


def _light(row: torch.Tensor, column: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Return how bright water is, (n, h, w) in [0, 1], at places (n, h, 1) and (n, 1, w) of patterns of side 1."""
    place = [_CIRCLE * (of - of.floor()) - 250 for of in (row, column)]
    along, across, total = place[0], place[1], torch.ones_like(time)
    for number in range(1, _N_ITERATIONS + 1):
        moment = time * (1 - 3.5 / number)
        along, across = (
            place[0] + (moment - along).cos() + (moment + across).sin(),
            place[1] + (moment - across).sin() + (moment + along).cos(),
        )
        first = place[0] / ((along + moment).sin() / 0.005)
        second = place[1] / ((across + moment).cos() / 0.005)
        total = total + 1 / (first.square() + second.square()).sqrt()
    return (1.17 - (total / _N_ITERATIONS).pow(1.4)).abs().pow(8).clamp(0, 1)


def _slopes(light: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how fast maps (n, h, w) rise downwards and to the right, over two pixels; outside they are 0."""
    padded = torch.nn.functional.pad(light, (1, 1, 1, 1))
    return padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]


def _refracted(down: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows' and columns' part of the ray through a surface of these slopes; 0 where it is nearly level."""
    length = (down.square() + right.square() + 1).sqrt()
    normal = (down / length, right / length, 1 / length)
    slope = (normal[0].square() + normal[1].square()).sqrt()
    angle = (normal[2].acos().sin() / _ETA).asin()
    axis = (-normal[1] / slope, normal[0] / slope)
    across = (-normal[2] * axis[1], normal[2] * axis[0])
    is_bent = normal[2] < 0.999
    return (
        (angle.cos() * normal[0] + angle.sin() * across[0]).where(is_bent, 0),
        (angle.cos() * normal[1] + angle.sin() * across[1]).where(is_bent, 0),
    )
