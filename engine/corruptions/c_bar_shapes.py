"""What C-bar draws over pictures: a checkerboard with holes, and sparkles."""

from __future__ import annotations

import math

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.c_bar import coordinates, each, levels, side_of, strength
from engine.corruptions.draws import Draws
from engine.corruptions.sines import cosine, sine

_GREY, _WHITE = 128, 255
_MOST_CELLS = 40
"""Of a checkerboard along four sides of the image: a cell is a tenth of the side at least."""
_RAYS = (50, 200)
_N_SPARKLES = 5


@register_corruption("checkerboard_cutout")
def checkerboard_cutout(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Grey some of the fields of one colour of a turned checkerboard.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; a tenth of it is the share of those fields that are grey.
        draws: the angle, the fields' side, and which fields are grey.
    """
    side = side_of(images)
    angle = draws.uniform("angle", (), 0, 2 * math.pi)
    cell = draws.uniform("cell", (), 0.1 * side, 0.25 * side).clamp_min(1)
    n_cells = (4 * side / cell).floor().clamp_max(_MOST_CELLS).long()
    is_grey = draws.uniform("grey", (_MOST_CELLS, _MOST_CELLS)) < magnitude / 10
    rows, columns = coordinates(images)
    along_it, across_it, size = each(cosine(angle)), each(sine(angle)), each(cell)
    along = (along_it * rows + across_it * columns) / size
    across = (-across_it * rows + along_it * columns) / size
    row, column = (place.trunc().long().remainder(each(n_cells)) for place in (along, across))
    chosen = is_grey.flatten(1).gather(1, (row * _MOST_CELLS + column).flatten(1)).reshape(along.shape)
    is_other_colour = along.remainder(2).trunc() != across.remainder(2).trunc()
    return torch.where((is_other_colour | ~chosen).unsqueeze(1), images, _GREY)


@register_corruption("sparkles")
def sparkles(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Add five white sparkles.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; a hundredth of it is a sparkle's radius as a share of the side.
        draws: the centres, the numbers of rays, and the rays' lengths, sparkle by sparkle.
    """
    side = side_of(images)
    centres = draws.uniform("centres", (_N_SPARKLES, 2), 0, side)
    n_rays = draws.integers("rays", *_RAYS, (_N_SPARKLES,))
    radius = strength(magnitude, 0.1) * side
    values = images.double()
    for number in range(_N_SPARKLES):
        lengths = draws.normal(f"lengths {number}", (_RAYS[1],)) * (0.25 * radius) + radius
        shine = _shine(images, centres[:, number], n_rays[:, number], lengths.clamp_min(1), 1.0)
        values = values + shine * (_WHITE - values)
    return levels(values)


@register_corruption("inverse_sparkles")
def inverse_sparkles(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Whiten all but a sparkle.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; how fast the picture fades with the distance from the sparkle's centre.
        draws: the centre, the number of rays, and the rays' lengths.
    """
    side = side_of(images)
    centre = draws.uniform("centre", (2,), 0.25 * side, 0.75 * side)
    n_rays = draws.integers("rays", *_RAYS, ())
    radius = side / 4
    lengths = draws.normal("lengths", (_RAYS[1],)) * (0.25 * radius) + radius
    kept = _shine(images, centre, n_rays, lengths, strength(magnitude, 65.0) / 50)
    return levels(_WHITE + kept * (images.double() - _WHITE))


def _shine(
    images: torch.Tensor, centre: torch.Tensor, n_rays: torch.Tensor, lengths: torch.Tensor, exponent: float
) -> torch.Tensor:
    """Return how bright a sparkle is, (n, 1, h, w) in [0, 1].

    Args:
        images: whose pixels are meant.
        centre: (n, 2).
        n_rays: (n,).
        lengths: of the rays, in pixels, (n, at least as many).
        exponent: of the squared ratio of a ray's length to the distance.
    """
    rows, columns = coordinates(images)
    down, right = rows - each(centre[:, 0]), columns - each(centre[:, 1])
    place = (torch.atan2(right, down) + math.pi) / (2 * math.pi) * each(n_rays)
    ray = place.floor()
    part = place - ray
    first = ray.long().remainder(each(n_rays))
    second = (first + 1).remainder(each(n_rays))
    length, other = (lengths.gather(1, of.flatten(1)).reshape(place.shape) for of in (first, second))
    length = length * (1 - part) + other * part
    glow = (length.square() / (down.square() + right.square() + 1e-4)).pow(exponent)
    return ((1 - (part - 0.5).square()) * glow).clamp(0, 1).unsqueeze(1)
