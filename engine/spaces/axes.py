"""The axes of a search space: settings that vary, each over values, a range or bundles, under conditions."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.conversion import as_json, as_written, words_of
from engine.errors import InputError, shown

Conditions = Mapping[str, tuple[Any, ...]]
"""{dotted path of a setting: the values under which the axis applies}; all must hold."""

MOST_VALUES = 1000
"""Values that are written down one by one."""
MOST_STEPS = 10**9
_LARGEST = int(sys.float_info.max)
_TOLERANCE = 1e-8
"""By how much of a step a value may miss its place: floats do not hold every decimal."""


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of some values.

    Attributes:
        setting: dotted path ("push_pull.h").
        values: what it may be, JSON scalars (None included).
        when: where it applies; elsewhere the base's value stays.
        label: the axis's name in the study, if another than the setting's; two axes of one setting need two.
    """

    setting: str
    values: tuple[Any, ...]
    when: Conditions = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        _normalise(self)
        if not isinstance(self.values, list | tuple):
            raise InputError(f"axis {self.label!r} needs a list of values, got {self.values!r}")
        object.__setattr__(self, "values", tuple(self.values))
        for value in self.values:
            if not isinstance(value, str | bool | int | float | None):
                raise InputError(
                    f"axis {self.label!r} needs words, numbers, True, False or None as values, got {value!r}; "
                    "several values in one are written as a word, such as '0.4,0.8'"
                )
        if len(self.values) > MOST_VALUES:
            raise InputError(
                f"axis {self.label!r} can have {MOST_VALUES:,} values at most, got {len(self.values):,}: a range "
                "(Int, Float) can have more"
            )
        if not self.values or any(is_among(value, self.values[:place]) for place, value in enumerate(self.values)):
            raise InputError(f"axis {self.label!r} needs values, each once, got {self.values!r}")

    def extremes(self) -> tuple[Any, ...]:
        """Return the values that a check should try: all."""
        return self.values


@dataclass(frozen=True)
class Float:
    """A setting that takes a real number of a range.

    Attributes:
        setting: dotted path.
        low: the least value.
        high: the greatest.
        log: whether it is drawn evenly in its logarithm; ``low`` must be > 0 then.
        step: distance of the values from ``low`` on, which must lead to ``high``; None for any.
        when: where it applies.
        label: the axis's name in the study, if another than the setting's.
    """

    setting: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Conditions = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        _normalise(self)
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if value is not None or name != "step":
                object.__setattr__(self, name, as_written(float(_number(self, name))))
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"axis {self.label!r} needs finite low < high, got {self.low!r} and {self.high!r}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise InputError(f"axis {self.label!r} with log needs low > 0 and no step, got {self.low!r}, {self.step!r}")
        if self.step is not None and not 0 < self.step <= as_written(self.high - self.low):
            raise InputError(f"axis {self.label!r} needs a step in (0, high − low], got {self.step!r}")
        _check_step(self)

    def extremes(self) -> tuple[float, ...]:
        """Return the values that a check should try: both ends."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Int:
    """A setting that takes a whole number of a range, both ends included.

    Attributes:
        setting: dotted path.
        low: the least value.
        high: the greatest.
        log: whether it is drawn evenly in its logarithm; ``low`` must be ≥ 1 then.
        step: distance of the values from ``low`` on, which must lead to ``high``.
        when: where it applies.
        label: the axis's name in the study, if another than the setting's.
    """

    setting: str
    low: int
    high: int
    log: bool = False
    step: int = 1
    when: Conditions = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        _normalise(self)
        for name in ("low", "high", "step"):
            value = _number(self, name)
            if not float(value).is_integer():
                raise InputError(f"axis {self.label!r} needs a whole number for {name}, got {value!r}")
            object.__setattr__(self, name, int(value))
        if not self.low < self.high:
            raise InputError(f"axis {self.label!r} needs low < high, got {self.low!r} and {self.high!r}")
        if self.log and (self.low < 1 or self.step != 1):
            raise InputError(f"axis {self.label!r} with log needs low ≥ 1 and step 1, got {self.low!r}, {self.step!r}")
        if not 1 <= self.step <= self.high - self.low:
            raise InputError(f"axis {self.label!r} needs a step from 1 to high − low, got {self.step!r}")
        _check_step(self)

    def extremes(self) -> tuple[int, ...]:
        """Return the values that a check should try: both ends."""
        return (self.low, self.high)


Axis = Choice | Float | Int
AXIS_KINDS: dict[str, type[Axis]] = {"choice": Choice, "float": Float, "int": Int}


def n_values(axis: Axis) -> int | None:
    """Return how many values an axis has; None where it is continuous."""
    if isinstance(axis, Choice):
        return len(axis.values)
    return None if axis.step is None else round((axis.high - axis.low) / axis.step) + 1


def value_at(axis: Axis, place: int) -> Any:
    """Return the value of an axis at a place, 0 for the first, as a person would write it: 0.3, not 0.1 + 2 · 0.1.

    Every value of a range with a step is made here, so that the same place has the same value whoever proposes it.
    """
    if isinstance(axis, Choice):
        return axis.values[place]
    assert axis.step is not None
    return axis.high if place == round((axis.high - axis.low) / axis.step) else _value_after(axis, place)


def nearest_value(axis: Axis, value: Any) -> Any:
    """Return the value of an axis that is nearest to what a search library drew: that one without its rounding."""
    if isinstance(axis, Choice):
        return value
    if axis.step is None:
        return min(max(as_written(value), axis.low), axis.high)
    last = round((axis.high - axis.low) / axis.step)
    return value_at(axis, min(max(round((value - axis.low) / axis.step), 0), last))


def can_take(axis: Axis, value: Any) -> bool:
    """Return whether a value is one of an axis's; 2 and 2.0 are one, as they are in a condition."""
    if isinstance(axis, Choice):
        return is_among(value, axis.values)
    if isinstance(value, bool) or not isinstance(value, int | float) or not axis.low <= value <= axis.high:
        return False
    if isinstance(axis, Int) and value != int(value):
        return False
    steps = (value - axis.low) / axis.step if axis.step else 0.0
    return abs(steps - round(steps)) < _TOLERANCE


def is_among(value: Any, values: tuple[Any, ...]) -> bool:
    """Return whether a value is one of some; 2 and 2.0 are one, [1, 3] and "1,3" too, True and 1 are not."""
    return any(_is_same(value, other) for other in values)


def _is_same(value: Any, other: Any) -> bool:
    if isinstance(value, list) and isinstance(other, str):
        return [str(item) for item in value] == words_of(other) or value == [as_json(word) for word in words_of(other)]
    if isinstance(other, list) and isinstance(value, str):
        return _is_same(other, value)
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def describe_values(axis: Axis) -> list[str]:
    """Return the values of an axis in words."""
    if isinstance(axis, Choice):
        return [repr(value) for value in axis.values]
    return [f"{axis.low!r} to {axis.high!r}" + (f" in steps of {axis.step!r}" if axis.step else "")]


def applies(axis: Axis, settings: Mapping[str, Any]) -> bool:
    """Return whether an axis's conditions hold under {dotted path: value}."""
    return all(is_among(settings[path], values) for path, values in axis.when.items())


def _normalise(axis: Axis) -> None:
    """Complete the label, and write the conditions as tuples."""
    object.__setattr__(axis, "label", axis.label or axis.setting)
    for name in ("setting", "label"):
        value = getattr(axis, name)
        if not isinstance(value, str) or not value.isprintable():
            raise InputError(f"an axis's {name} is a word, without line breaks and the like, got {value!r}")
    if not isinstance(axis.when, Mapping):
        raise InputError(f"axis {axis.label!r} needs conditions as {{setting: values}}, got {axis.when!r}")
    conditions = {path: tuple(v if isinstance(v, list | tuple) else (v,)) for path, v in axis.when.items()}
    object.__setattr__(axis, "when", conditions)


def _number(axis: Float | Int, name: str) -> int | float:
    """Return the bound or step of an axis, which must be a number."""
    value = getattr(axis, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"axis {axis.label!r} needs a number for {name}, got {value!r}")
    if abs(value) > _LARGEST and value != math.inf and value != -math.inf:
        raise InputError(
            f"axis {axis.label!r} needs a number that floats can hold for {name}, got one of {len(str(value))} digits"
        )
    return value


def _value_after(axis: Float | Int, n_steps: int) -> Any:
    """Return ``low`` plus some steps, added as decimals."""
    value = Decimal(repr(axis.low)) + n_steps * Decimal(repr(axis.step))
    return float(value) if isinstance(axis, Float) else int(value)


def _check_step(axis: Float | Int) -> None:
    """Refuse a step that does not lead from ``low`` to ``high``: the end that a person wrote would never be tried."""
    if axis.step is None:
        return
    low, high, step = (Decimal(repr(value)) for value in (axis.low, axis.high, axis.step))
    if high - low > MOST_STEPS * step:
        raise InputError(
            f"axis {axis.label!r} needs a step that leads from low to high in {MOST_STEPS:,} steps at most, got "
            f"{shown(axis.step)} from {shown(axis.low)} to {shown(axis.high)}"
        )
    if (high - low) % step:
        raise InputError(
            f"axis {axis.label!r} needs a step that leads from low to high, got {axis.step!r} from {axis.low!r} to "
            f"{axis.high!r}: its last value would be {_value_after(axis, int((high - low) // step))!r}"
        )
