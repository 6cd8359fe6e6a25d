"""What the proposals of a space can be, as far as one axis is concerned: where it applies, and where it matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from engine.errors import InputError
from engine.relevance import conditions_of, matters
from engine.settings import TrialConfig
from engine.spaces.axes import Axis, Choice, applies, can_take, is_among

MAX_CONTEXTS = 20_000
"""How many proposals are looked at before an axis counts as one that matters."""

Settings = dict[str, Any]


class Explored(Protocol):
    """What is looked at here of a space."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def base(self) -> TrialConfig:
        """Return the configuration that axes change."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Return its axes; a later one comes over an earlier one of the same setting."""


def check_axis_matters(space: Explored, axis: Axis) -> Settings:
    """Return settings under which an axis applies and can change a trial's numbers.

    A setting that no axis varies may be what the base or a condition says: the base can be changed from outside.

    Raises:
        InputError: there are none, so that a search over the axis would try one network again and again.
    """
    overriding = [other for other in space.axes[space.axes.index(axis) + 1 :] if other.setting == axis.setting]
    idle: Settings | None = None
    impossible: Settings | None = None
    for place, context in enumerate(_contexts(space, axis)):
        if place == MAX_CONTEXTS:
            return context
        settings, possible = _all_settings(space, context)
        if any(applies(later, settings) for later in overriding):
            continue
        if not matters(axis.setting, settings):
            idle = settings if idle is None else idle
        elif possible:
            return context
        else:
            impossible = context if impossible is None else impossible
    if impossible is not None:
        return impossible  # trying the axis's values will say what is wrong with them
    if idle is None and overriding:
        raise InputError(
            f"axis {axis.label!r} can change nothing: axis {overriding[0].label!r}, which comes after it, decides the "
            f"same setting wherever it applies; give them conditions that exclude each other"
        )
    if idle is None:
        raise InputError(f"axis {axis.label!r} can change nothing: no proposal meets {_unmet(space, axis)}")
    raise InputError(f"axis {axis.label!r} can change nothing: it matters only {_where(axis, idle)}")


def _unmet(space: Explored, axis: Axis) -> str:
    """Return the conditions of an axis, which no proposal meets together, with the values that axes have for them."""
    given = {path: [other for other in space.axes if other.setting == path] for path in axis.when}
    values = {
        path: _distinct(value for other in axes for value in _samples(space, other)) for path, axes in given.items()
    }
    return " and ".join(
        f"its condition `{path}` {' or '.join(map(str, axis.when[path]))}"
        + (f" (the axis has {', '.join(map(str, values[path]))})" if values[path] else "")
        for path in axis.when
    )


def _where(axis: Axis, settings: Settings) -> str:
    """Return where an axis would matter, and what it finds instead."""
    broken = [condition for condition in conditions_of(axis.setting) if not condition.holds(settings)]
    found = dict.fromkeys(path for condition in broken for path in condition.reads)
    return (
        f"where {' and '.join(condition.words for condition in broken)}, "
        f"got {', '.join(f'{path}={settings[path]}' for path in found)}"
    )


def _all_settings(space: Explored, context: Settings) -> tuple[Settings, bool]:
    """Return all settings of a trial, and whether they can be together."""
    try:
        return space.base.with_settings(context).flat(), True
    except InputError:
        return {**space.base.flat(), **context}, False


def check_proposals_differ(space: Explored) -> None:
    """Make sure that something can be proposed with the base as it is.

    Raises:
        InputError: none of the axes applies, so that all proposals would be the base.
    """
    if any(next(_contexts(space, axis, base_alone=True), None) is not None for axis in space.axes):
        return
    base = space.base.flat()
    axis = space.axes[0]
    unmet = [path for path, values in axis.when.items() if not is_among(base[path], values)]
    raise InputError(
        f"no axis of space {space.name!r} applies, so that all proposals would be the same: axis {axis.label!r} is for "
        + " and ".join(f"`{path}` {' or '.join(map(str, axis.when[path]))}, got {base[path]}" for path in unmet)
    )


def _contexts(space: Explored, axis: Axis, *, base_alone: bool = False) -> Iterator[Settings]:
    """Yield what decides whether an axis applies and matters, {path: value}, of every proposal where it applies."""
    wanted = _deciding(space, axis)
    varied = {other.setting for other in space.axes}
    free = {} if base_alone else {path: _asked_for(space, path) for path in wanted if path not in varied}
    axes = [other for other in space.axes if other is axis or other.setting in wanted]

    def go_on(place: int, flat: Mapping[str, Any], chosen: Settings) -> Iterator[Settings]:
        if place == len(axes):
            if axis.label in chosen:
                yield {path: value for path, value in flat.items() if value != base[path]}
            return
        other = axes[place]
        if not applies(other, flat):
            yield from go_on(place + 1, flat, chosen)
            return
        for value in _samples(space, other):
            yield from go_on(place + 1, {**flat, other.setting: value}, {**chosen, other.label: value})

    base = space.base.flat()
    for given in _products({path: _distinct((base[path], *values)) for path, values in free.items()}):
        yield from go_on(0, {**base, **given}, {})


def _deciding(space: Explored, axis: Axis) -> set[str]:
    """Return the settings that decide whether an axis applies and matters."""
    wanted = {path for condition in conditions_of(axis.setting) for path in condition.reads} | set(axis.when)
    wanted |= {path for other in space.axes if other.setting == axis.setting for path in other.when}
    while True:
        more = {path for other in space.axes if other.setting in wanted for path in other.when} - wanted
        if not more:
            return wanted
        wanted |= more


def _asked_for(space: Explored, path: str) -> tuple[Any, ...]:
    """Return the values that conditions ask of a setting."""
    return _distinct(value for axis in space.axes for value in axis.when.get(path, ()))


def _samples(space: Explored, axis: Axis) -> tuple[Any, ...]:
    """Return the values of an axis that can make a difference to others: of a range its ends, and what they ask for."""
    if isinstance(axis, Choice):
        return axis.values
    asked = (value for value in _asked_for(space, axis.setting) if can_take(axis, value))
    return _distinct((axis.low, axis.high, *asked))


def _products(values: Mapping[str, tuple[Any, ...]]) -> Iterator[Settings]:
    """Yield {path: value} with each path's values combined, each path's first value first."""
    if not values:
        yield {}
        return
    path, *others = values
    for value in values[path]:
        for rest in _products({other: values[other] for other in others}):
            yield {path: value, **rest}


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return values, each once, in their order."""
    found: tuple[Any, ...] = ()
    for value in values:
        found = found if is_among(value, found) else (*found, value)
    return found
