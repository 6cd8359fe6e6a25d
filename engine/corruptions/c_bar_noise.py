"""Noises of C-bar: blue and brownish ones by their spectra, and Perlin's."""

from __future__ import annotations

import math

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.c_bar import coordinates, levels, side_of, strength
from engine.corruptions.draws import Draws

_GRADIENTS, _TABLE = 514, 256


@register_corruption("blue_noise_sample")
def blue_noise_sample(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Blacken the pixels where blue noise is low.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the noise, of variance 1, blackens where it is at most 0.3·magnitude − 2.5.
        draws: phases of the noise's left half.
    """
    noise = _spectral_noise(images, _distance(images), draws.uniform("phases", _half(images), 0, 2 * math.pi))
    return torch.where(noise.unsqueeze(1) > strength(magnitude, 3.0) - 2.5, images, 0)


@register_corruption("brownish_noise")
def brownish_noise(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Add noise to each channel whose spectrum falls with the square of the frequency.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; the noise's deviation is 6.4 levels times it.
        draws: phases of the left half, channel by channel.
    """
    spectrum = 1 / (_distance(images).square() + 1)
    fields = []
    for channel in range(images.shape[1]):
        phases = draws.uniform(f"phases {channel}", _half(images), 0, 2 * math.pi)
        fields.append(_spectral_noise(images, spectrum, phases))
    return levels(images.double() + strength(magnitude, 64.0) * torch.stack(fields, dim=1))


def _half(images: torch.Tensor) -> tuple[int, int]:
    """Return the size of the left half of a field of the images' size, its middle column included."""
    height, width = images.shape[2:]
    return height, width - width // 2


def _distance(images: torch.Tensor) -> torch.Tensor:
    """Return the distance of each frequency (h, w) from the middle one."""
    height, width = images.shape[2:]
    rows, columns = coordinates(images)
    return ((rows - height // 2).square() + (columns - width // 2).square()).sqrt()


def _spectral_noise(images: torch.Tensor, spectrum: torch.Tensor, phases: torch.Tensor) -> torch.Tensor:
    """Return noise (n, h, w) of variance 1 with amplitudes (h, w) and phases (n, h, half the width)."""
    height, width = images.shape[2:]
    whole = torch.cat([phases, phases[:, :, : width // 2].flip(1, 2)], dim=2)
    rolled = (spectrum * torch.exp(1j * whole)).roll((height // 2, width // 2), (1, 2))
    noise = torch.fft.ifft2(rolled).real
    deviation = noise.std(dim=(1, 2), correction=0, keepdim=True)
    return noise / deviation.clamp_min(torch.finfo(deviation.dtype).tiny)


@register_corruption("perlin_noise")
def perlin_noise(images: torch.Tensor, magnitude: float, draws: Draws) -> torch.Tensor:
    """Mix with turbulence of Perlin's noise.

    Args:
        images: uint8 (n, c, h, w).
        magnitude: in [0, 10]; a twentieth of it is the turbulence's weight.
        draws: the noise's gradients, then the swaps that shuffle its table.
    """
    gradients, table = _perlin_tables(draws)
    rows, columns = coordinates(images)
    row, column = rows * 7 / side_of(images), columns * 7 / side_of(images)
    turbulence = torch.zeros((), dtype=torch.float64, device=images.device)
    for octave in (1, 2, 4, 8, 16):
        turbulence = turbulence + _perlin(octave * row, octave * column, gradients, table).abs() / octave
    weight = strength(magnitude, 0.5)
    pattern = (0.5 * turbulence + 0.5).clamp(0, 1).unsqueeze(1)
    return levels(((1 - weight) * images.float()).double() + weight * 255 * pattern)  # 32 bits as the benchmark's


def _perlin_tables(draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
    """Return gradients of length 1, float64 (n, 514, 2), and the places 0 … 255, shuffled, int64 (n, 514).

    Of each the entries from 256 on are those from 0 on.
    """
    drawn = draws.integers("gradients", 0, 2**31, (_GRADIENTS, 2)).remainder(2 * _TABLE)
    gradients = (drawn - _TABLE).double() / _TABLE
    gradients = gradients / gradients.square().sum(2, keepdim=True).sqrt().clamp_min(1 / _TABLE)
    swaps = draws.integers("swaps", 0, 2**31, (_TABLE,)).remainder(_TABLE)
    table = torch.arange(_GRADIENTS, device=draws.device).repeat(len(swaps), 1)
    for place in range(_TABLE - 1, -1, -1):
        other = swaps[:, _TABLE - 1 - place : _TABLE - place]
        here = table[:, place : place + 1].clone()
        table[:, place : place + 1] = table.gather(1, other)
        table.scatter_(1, other, here)
    for tables in (gradients, table):
        tables[:, _TABLE:] = tables[:, : _GRADIENTS - _TABLE].clone()
    return gradients, table


def _perlin(rows: torch.Tensor, columns: torch.Tensor, gradients: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return Perlin's noise (n, h, w), times 1.5, at points whose rows are (h, 1) and columns (w,)."""
    row, column = rows + 4096, columns + 4096
    upper, left = row.floor(), column.floor()
    down, right = row - upper, column - left
    first_row, first_column = upper.long() % _TABLE, left.long() % _TABLE
    by_row = {step: table[:, (first_row + step).flatten() % _TABLE] for step in (0, 1)}

    def corner(row_step: int, column_step: int) -> torch.Tensor:
        columns_of = (first_column + column_step) % _TABLE
        places = table.gather(1, (by_row[row_step].unsqueeze(2) + columns_of).flatten(1))
        gradient = gradients.gather(1, places.unsqueeze(2).expand(-1, -1, 2))
        of_row, of_column = gradient.reshape(len(table), rows.shape[0], columns.shape[0], 2).unbind(3)
        return (down - row_step) * of_row + (right - column_step) * of_column

    eased_row, eased_column = (share * share * (3 - 2 * share) for share in (down, right))
    first, second = (corner(0, step) + eased_row * (corner(1, step) - corner(0, step)) for step in (0, 1))
    return 1.5 * (first + eased_column * (second - first))
