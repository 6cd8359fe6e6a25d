"""The grid of a space: every combination of its axes' values, conditions respected."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import InputError
from engine.spaces import Axis, Choice, Space
from engine.spaces.axes import applies, n_values, value_at

MAX_POINTS = 200_000


def grid_settings(space: Space) -> list[dict[str, Any]]:
    """Return the settings of every combination, the last axis changing fastest; an axis counts only where it applies.

    Raises:
        InputError: a continuous axis, or a grid of more than ``MAX_POINTS`` points.
    """
    for axis in space.axes:
        axis_values(axis)
    points: list[dict[str, Any]] = []
    for settings in _combinations(space, 0, space.base.flat(), {}) if space.axes else ():
        points.append(settings)
        if len(points) > MAX_POINTS:
            raise InputError(
                f"the grid of space {space.name!r} has more than {MAX_POINTS} points: use --sampler random"
            )
    return points


def count_of_few(space: Space, most: int) -> int | None:
    """Return how many combinations a space has; None where those are more than ``most``, or without number."""
    if any(n_values(axis) is None for axis in space.axes):
        return None
    n_points = sum(1 for _ in itertools.islice(_combinations(space, 0, space.base.flat(), {}), most + 1))
    return n_points if n_points <= most else None


def axis_values(axis: Axis) -> Iterator[Any]:
    """Return an iterator over all values of an axis, of which there may be very many.

    Raises:
        InputError: it is continuous.
    """
    count = n_values(axis)
    if count is None:
        assert not isinstance(axis, Choice)
        raise InputError(
            f"a grid needs values, and axis {axis.label!r} is continuous ({axis.low:g} … {axis.high:g}): "
            "give it a step, or use another sampler"
        )
    return (value_at(axis, place) for place in range(count))


def _combinations(
    space: Space, position: int, flat: Mapping[str, Any], settings: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield every way to go on from some settings; ``flat`` has the base's settings with these in their place."""
    if position == len(space.axes):
        yield settings
        return
    axis = space.axes[position]
    if not applies(axis, flat):
        yield from _combinations(space, position + 1, flat, settings)
        return
    for value in axis_values(axis):
        chosen = {axis.setting: value}
        yield from _combinations(space, position + 1, {**flat, **chosen}, {**settings, **chosen})
