"""Random draws of a space that depend on (seed, index) alone."""

from __future__ import annotations

import math
import random
from typing import Any

from engine.seeds import derive_seed
from engine.spaces.axes import Axis, Choice, Int
from engine.spaces.space import Space


def draw_settings(space: Space, *, seed: int, index: int) -> dict[str, Any]:
    """Return the settings of random draw ``index``: the same whatever was drawn before, and in any process."""
    generator = random.Random(derive_seed(seed, "draw", index))
    return space.settings_from(lambda axis: _draw(axis, generator))


def _draw(axis: Axis, generator: random.Random) -> Any:
    if isinstance(axis, Choice):
        return generator.choice(axis.values)
    if isinstance(axis, Int):
        if axis.log:
            value = math.exp(generator.uniform(math.log(axis.low - 0.5), math.log(axis.high + 0.5)))
            return min(max(round(value), axis.low), axis.high)
        return generator.randrange(axis.low, axis.high + 1, axis.step)
    if axis.step is not None:
        value = axis.low + axis.step * generator.randint(0, math.floor((axis.high - axis.low) / axis.step + 1e-9))
        return min(value, axis.high)  # rounding may put the last one above it
    if axis.log:
        return math.exp(generator.uniform(math.log(axis.low), math.log(axis.high)))
    return generator.uniform(axis.low, axis.high)
