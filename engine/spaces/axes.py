"""The axes of a search space: settings that vary, each over values, a range or bundles, under conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import InputError

Conditions = Mapping[str, tuple[Any, ...]]
"""{dotted path of a setting: the values under which the axis applies}; all must hold."""


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
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values or len(set(map(repr, self.values))) < len(self.values):
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
        step: distance of the values from ``low`` on; None for any.
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
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"axis {self.label!r} needs finite low < high, got {self.low!r} and {self.high!r}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise InputError(f"axis {self.label!r} with log needs low > 0 and no step, got {self.low!r}, {self.step!r}")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise InputError(f"axis {self.label!r} needs a step in (0, high − low], got {self.step!r}")

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
        step: distance of the values from ``low`` on.
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
        if not self.low < self.high:
            raise InputError(f"axis {self.label!r} needs low < high, got {self.low!r} and {self.high!r}")
        if self.log and (self.low < 1 or self.step != 1):
            raise InputError(f"axis {self.label!r} with log needs low ≥ 1 and step 1, got {self.low!r}, {self.step!r}")
        if not 1 <= self.step <= self.high - self.low:
            raise InputError(f"axis {self.label!r} needs a step from 1 to high − low, got {self.step!r}")

    def extremes(self) -> tuple[int, ...]:
        """Return the values that a check should try: both ends."""
        return (self.low, self.high)


Axis = Choice | Float | Int
AXIS_KINDS: dict[str, type[Axis]] = {"choice": Choice, "float": Float, "int": Int}


def can_take(axis: Axis, value: Any) -> bool:
    """Return whether a value is one of an axis's; 2 and 2.0 are one, as they are in a condition."""
    if isinstance(axis, Choice):
        return value in axis.values
    if isinstance(value, bool) or not isinstance(value, int | float) or not axis.low <= value <= axis.high:
        return False
    if isinstance(axis, Int) and value != int(value):
        return False
    steps = (value - axis.low) / axis.step if axis.step else 0.0
    return abs(steps - round(steps)) < 1e-8


def describe_values(axis: Axis) -> list[str]:
    """Return the values of an axis in words."""
    if isinstance(axis, Choice):
        return [repr(value) for value in axis.values]
    return [f"{axis.low!r} to {axis.high!r}" + (f" in steps of {axis.step!r}" if axis.step else "")]


def applies(axis: Axis, settings: Mapping[str, Any]) -> bool:
    """Return whether an axis's conditions hold under {dotted path: value}."""
    return all(settings[path] in values for path, values in axis.when.items())


def _normalise(axis: Axis) -> None:
    object.__setattr__(axis, "label", axis.label or axis.setting)
    conditions = {path: tuple(v if isinstance(v, list | tuple) else (v,)) for path, v in axis.when.items()}
    object.__setattr__(axis, "when", conditions)
