"""Random draws of a space that depend on (seed, index) alone."""

from __future__ import annotations

import math
import random
from typing import Any

from engine.seeds import derive_seed
from engine.spaces.axes import Axis, Choice, Int, n_values, nearest_value, value_at
from engine.spaces.space import Space


def draw_settings(space: Space, *, seed: int, index: int) -> dict[str, Any]:
    """Return the settings of random draw ``index``: the same whatever was drawn before, and in any process."""
    generator = random.Random(derive_seed(seed, "draw", index))
    return space.settings_from(lambda axis: _draw(axis, generator))


def _draw(axis: Axis, generator: random.Random) -> Any:
    if isinstance(axis, Choice):
        return generator.choice(axis.values)
    if isinstance(axis, Int) and axis.log:
        value = math.exp(generator.uniform(math.log(axis.low - 0.5), math.log(axis.high + 0.5)))
        return min(max(round(value), axis.low), axis.high)
    count = n_values(axis)
    if count is not None:
        return value_at(axis, generator.randrange(count))
    if axis.log:
        return nearest_value(axis, math.exp(generator.uniform(math.log(axis.low), math.log(axis.high))))
    return nearest_value(axis, generator.uniform(axis.low, axis.high))
