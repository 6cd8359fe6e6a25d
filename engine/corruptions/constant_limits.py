"""What the numbers of a severity table may be, corruption by corruption: beyond that they have no meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.corruptions.c_bar_tables import FOR_CIFAR
from engine.errors import InputError


@dataclass(frozen=True)
class Limit:
    """What one number of a corruption's constant may be.

    Attributes:
        what: what it is, to be read after "its".
        least: the smallest.
        most: the largest.
        is_above: whether ``least`` itself is not allowed.
        is_whole: whether it counts something.
    """

    what: str
    least: float = -math.inf
    most: float = math.inf
    is_above: bool = False
    is_whole: bool = False

    def allows(self, value: float) -> bool:
        """Return whether a finite number may be it."""
        is_enough = value > self.least if self.is_above else value >= self.least
        return is_enough and value <= self.most and (not self.is_whole or value == int(value))

    def __str__(self) -> str:
        """Return what it must be, to be read after "must be"; "" where it may be any number."""
        if math.isinf(self.least):
            return ""
        number = "a whole number " if self.is_whole else ""
        if math.isfinite(self.most):
            return f"{number}from {self.least:g} to {self.most:g}"
        return f"{number}{'>' if self.is_above else '≥'} {self.least:g}"


def _at_least_0(what: str) -> Limit:
    return Limit(what, 0)


def _above_0(what: str) -> Limit:
    return Limit(what, 0, is_above=True)


_MAGNITUDE = (Limit("magnitude", 0, 10),)
LIMITS: dict[str, tuple[Limit, ...]] = {
    "gaussian_noise": (_at_least_0("standard deviation"),),
    "shot_noise": (_above_0("photons at full scale"),),
    "impulse_noise": (Limit("share of replaced bytes", 0, 1),),
    "defocus_blur": (_at_least_0("disk's radius"), _above_0("blur's sigma")),
    "glass_blur": (
        _at_least_0("sigma"),
        Limit("number of passes", 0, is_whole=True),
        Limit("reach of a step in pixels", 1, is_whole=True),
    ),
    "motion_blur": (_at_least_0("radius"), _above_0("sigma")),
    "zoom_blur": (Limit("number of zooms", 1, is_whole=True), _above_0("step from one zoom to the next")),
    "snow": (
        Limit("mean"),
        _at_least_0("standard deviation"),
        Limit("zoom", 1),
        Limit("threshold"),
        _at_least_0("motion's radius"),
        _above_0("motion's sigma"),
        Limit("share of the image that is kept", 0, 1),
    ),
    "frost": (_at_least_0("weight of the image"), _at_least_0("weight of the frost")),
    "fog": (_at_least_0("weight"), _above_0("decay of the roughness")),
    "elastic_transform": (_at_least_0("strength"), _at_least_0("sigma"), _at_least_0("affine jitter")),
    "pixelate": (Limit("scale", 0, 1),),
    "jpeg_compression": (Limit("quality", 1, 100),),
    "speckle_noise": (_at_least_0("standard deviation"),),
    "gaussian_blur": (_at_least_0("sigma"),),
    "spatter": (
        Limit("mean"),
        _at_least_0("standard deviation"),
        _at_least_0("sigma"),
        Limit("threshold"),
        _at_least_0("strength of water, or sigma of mud,"),
    ),
    **dict.fromkeys(FOR_CIFAR, _MAGNITUDE),
}
"""{a corruption of the engine's: what each number of its constant may be}; of what is not here any number is taken."""


def check_limits(table: str, name: str, severity: int, constant: object) -> None:
    """Check the constant of a corruption of the engine's, which is built as the engine's own are.

    Raises:
        InputError: one of its numbers has no meaning.
    """
    values = constant if isinstance(constant, tuple) else (constant,)
    for limit, value in zip(LIMITS.get(name, ()), values, strict=False):
        if not limit.allows(value):
            raise InputError(f"{_where(table, name, severity, constant)}, but its {limit.what} must be {limit}")


def cannot_be(table: str, name: str, severity: int, constant: object) -> InputError:
    """Return the error for a constant by which a corruption of the engine's fails, though each number may be."""
    takes = ", ".join(f"{limit.what} {limit}" for limit in LIMITS.get(name, ()) if str(limit))
    more = f"; it takes: {takes}" if takes else ""
    return InputError(f"{_where(table, name, severity, constant)}, by which it cannot be computed{more}")


def _where(table: str, name: str, severity: int, constant: object) -> str:
    return f"severity table {table!r}: the constant of {name!r} at severity {severity} is {constant!r}"
