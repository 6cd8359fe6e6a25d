"""The one place where a space's axes become Optuna's distributions and parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from engine.spaces import Axis, Choice, Int, Space
from engine.spaces.axes import can_take, describe_values, nearest_value

_ROUNDING = 1e-8
"""By how much of itself, or of a step, what a library draws may miss a value."""


def distribution(axis: Axis) -> BaseDistribution:
    """Return an axis's distribution."""
    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.values)
    if isinstance(axis, Int):
        return IntDistribution(axis.low, axis.high, log=axis.log, step=axis.step)
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def suggest_settings(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Return the settings that a trial proposes, {dotted path: value}; axes that do not apply are not asked for."""
    return space.settings_from(lambda axis: suggest(trial, axis))


def suggest(trial: optuna.Trial, axis: Axis) -> Any:
    """Return the value that a trial proposes for an axis, without the rounding of the library that drew it.

    Raises:
        ValueError: the sampler proposes what is none of the axis's values.
    """
    if isinstance(axis, Choice):
        return trial.suggest_categorical(axis.label, axis.values)
    if isinstance(axis, Int):
        drawn: float = trial.suggest_int(axis.label, axis.low, axis.high, step=axis.step, log=axis.log)
    else:
        drawn = trial.suggest_float(axis.label, axis.low, axis.high, step=axis.step, log=axis.log)
    value = nearest_value(axis, drawn)
    if not math.isclose(drawn, value, rel_tol=_ROUNDING, abs_tol=_ROUNDING * (axis.step or axis.high - axis.low)):
        raise ValueError(f"axis {axis.label!r} takes {describe_values(axis)[0]}, got {drawn!r}")
    return value


def parameters_of(settings: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the study's parameters {label: value} of settings, as far as the axes can express them.

    An arm may lie outside of the axes' values (a placebo's h = 1, say): such a setting has no parameter.
    """
    flat = space.base.flat() | dict(settings)
    parameters: dict[str, Any] = {}

    def keep(axis: Axis) -> Any:
        value = flat[axis.setting]
        if can_take(axis, value):
            parameters[axis.label] = value
        return value

    space.settings_from(keep)
    return parameters
