"""Sines rounded correctly: the same bits on every machine and device.

Those of torch are right but for the last bit, which differs between processors and versions. These are made of sums and
products of 64 bits alone, each rounded as the standard says, and carried on as pairs of numbers, twice as exact. They
take some hundred operations, and so are for a few numbers of each image, not for each pixel.

Where they matter: a picture that is read between its pixels has the same value again where it is flat, but for a last
bit, and what is rounded down then is a level less.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""A number as the sum of two, the second of which is smaller than the first one's last bit."""

_HALF_PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899") / 2
_N_BITS = 33
"""Of the first two parts of π/2, so that their products with whole numbers up to 2²⁰ are exact."""
_N_TERMS, _N_PAIRS = 13, 4
"""Terms of the series, and how many of the first ones are carried on as pairs: the others are too small to matter."""
_SPLITTER = 2.0**27 + 1


def _parts_of_half_pi() -> tuple[float, float, float]:
    first = Fraction(math.floor(_HALF_PI * 2 ** (_N_BITS - 1)), 2 ** (_N_BITS - 1))
    rest, scale = _HALF_PI - first, 2 ** (2 * _N_BITS)
    second = Fraction(math.floor(rest * scale), scale)
    return float(first), float(second), float(rest - second)


def _coefficients(odd: int) -> list[tuple[float, float]]:
    """Return ±1 / (2k + odd)! as pairs: of the sine's series where ``odd`` is 1, of the cosine's where it is 0."""
    exact = [Fraction((-1) ** k, math.factorial(2 * k + odd)) for k in range(_N_TERMS)]
    return [(float(value), float(value - Fraction(float(value)))) for value in exact]


_PARTS = _parts_of_half_pi()
_OF_SINE, _OF_COSINE = _coefficients(1), _coefficients(0)


def sine(values: Tensor) -> Tensor:
    """Return the sines of float64 numbers of at most 10⁶, each the nearest to the true one."""
    return _turned(values, 0)


def cosine(values: Tensor) -> Tensor:
    """Return the cosines of float64 numbers of at most 10⁶, each the nearest to the true one."""
    return _turned(values, 1)


def _turned(values: Tensor, n_quarters: int) -> Tensor:
    """Return the sine of values and some quarter turns."""
    quarter = (values / (math.pi / 2)).round()
    rest = _reduced(values, quarter)
    quarter = (quarter + n_quarters).remainder(4)
    is_cosine = quarter.remainder(2) == 1
    series = _series(_product(rest, rest), is_cosine)
    found = torch.where(is_cosine, series[0], _product(rest, series)[0])
    return torch.where(quarter >= 2, -found, found)


def _reduced(values: Tensor, quarter: Tensor) -> Pair:
    """Return what some quarter turns leave of values, of about −π/4 … π/4."""
    high, low = _sum(values, quarter * -_PARTS[0])
    high, further = _sum(high, quarter * -_PARTS[1])
    return _joined(high, (low + further) - quarter * _PARTS[2])


def _series(square: Pair, is_cosine: Tensor) -> Pair:
    """Return Σ ±squareᵏ / (2k + 1)!, or Σ ±squareᵏ / (2k)!."""

    def coefficient(k: int, part: int) -> Tensor:  # numbers alone would come to 32 bits
        of_cosine, of_sine = (square[0].new_full((), of[k][part]) for of in (_OF_COSINE, _OF_SINE))
        return torch.where(is_cosine, of_cosine, of_sine)

    total = torch.zeros_like(square[0])
    for k in range(_N_TERMS - 1, _N_PAIRS - 1, -1):
        total = total * square[0] + coefficient(k, 0)
    pair = total, torch.zeros_like(total)
    for k in range(_N_PAIRS - 1, -1, -1):
        high, low = _product(pair, square)
        first, rest = _sum(coefficient(k, 0), high)
        pair = _joined(first, rest + (coefficient(k, 1) + low))
    return pair


def _sum(a: Tensor, b: Tensor) -> Pair:
    """Return a + b exactly (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _joined(a: Tensor, b: Tensor) -> Pair:
    """Return a + b exactly, of which b is the smaller one (Dekker)."""
    total = a + b
    return total, b - (total - a)


def _product(a: Pair, b: Pair) -> Pair:
    """Return a·b, without the product of the two small parts."""
    product = a[0] * b[0]
    (a_high, a_low), (b_high, b_low) = _halves(a[0]), _halves(b[0])
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return _joined(product, rest + (a[0] * b[1] + a[1] * b[0]))


def _halves(value: Tensor) -> Pair:
    """Return the leading 26 bits of values and the others (Veltkamp)."""
    scaled = value * _SPLITTER
    high = scaled - (scaled - value)
    return high, value - high
