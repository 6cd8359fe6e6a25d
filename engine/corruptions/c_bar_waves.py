"""Waves of C-bar: of one frequency, concentric, and plasma."""

from __future__ import annotations

import math

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.c_bar import coordinates, each, levels, side_of, strength
from engine.corruptions.colour import require_channels
from engine.corruptions.draws import Draws


@register_corruption("single_frequency_greyscale")
def single_frequency_greyscale(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Add a grey plane wave.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the amplitude is 19.6 levels times it.
        draws: one frequency, the other as a share of it, which of them is the columns', and the phase.
    """
    first = draws.uniform("frequency", (), -math.pi, math.pi)
    second = draws.uniform("other frequency", (), -1, 1) * first.abs()
    is_swapped = draws.integers("order", 0, 2, ()) == 1
    phase = draws.uniform("phase", (), 0, 2 * math.pi)
    of_columns, of_rows = torch.where(is_swapped, second, first), torch.where(is_swapped, first, second)
    rows, columns = coordinates(images)
    wave = (columns * each(of_columns) + rows * each(of_rows) + each(phase)).sin()
    return levels(images.double() + strength(magnitude, 196.0) * wave.unsqueeze(1))


@register_corruption("cocentric_sine_waves")
def cocentric_sine_waves(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Add rings, bent by a sine of the angle.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the rings' depth is 12.8 levels times it.
        draws: the centre, column before row; how often the rings bend, and how far; the rings' width.
    """
    side = side_of(images)
    centre = draws.uniform("centre", (2,), 0, side)
    frequency = each(draws.uniform("bends", (), 0, 10))
    amplitude = each(draws.uniform("amplitude", (), 0, side / 10))
    width = each(draws.uniform("width", (), 0, side / 10))
    rows, columns = coordinates(images)
    right, down = columns - each(centre[:, 0]), rows - each(centre[:, 1])
    radius = (right.square() + down.square()).sqrt()
    bent = radius + amplitude * (torch.atan2(right, down) * frequency).sin()
    ring = bent.remainder(width) / width - 0.5
    return levels(images.double() + strength(magnitude, 128.0) * ring.unsqueeze(1))


@register_corruption("plasma_noise")
def plasma_noise(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Mix with coloured plasma: it darkens.

    Args:
        images: uint8 (n, 3, h, w).
        magnitude: in [0, 10]; the plasma's weight is 6.4 levels times it.
        draws: the time, the number of iterations, the sharpness, and the scale.
    """
    require_channels(images, "plasma_noise", (3,))
    side = side_of(images)
    time = each(draws.uniform("time", (), 0, 6 * math.pi))
    n_iterations = each(draws.integers("iterations", 4, 7, ()))
    sharpness = each(draws.uniform("sharpness", (), 0.5, 1))
    scale = each(draws.uniform("scale", (), 0.075 * side, 0.2 * side))
    rows, columns = coordinates(images)
    x, y = (columns / scale).expand(-1, len(rows), -1), (rows / scale).expand(-1, -1, len(columns))
    wave, period, depth = 1.0, 1.0, torch.ones_like(sharpness)
    for iteration in range(6):
        first = (y * wave + time / period).cos() / depth
        second = (x * wave + time / period).sin() / depth
        turned = first - second * 0.3, second + first * 0.3
        # What turns for the second part is what the first has become.
        is_on = iteration < n_iterations
        x, y = torch.where(is_on, x + turned[0], x), torch.where(is_on, y + turned[1], y)
        wave, period, depth = wave * 1.93, period * 1.15, depth * (2.25 - sharpness)
    red, green, blue = (x - time).sin(), ((x + y + time.sin()) / 2).sin(), (y + time).sin()
    weight = strength(magnitude, 64.0)
    plasma = torch.stack([red, green, blue], dim=1)
    return levels((1 - weight / 255) * images.double() + weight * plasma)
