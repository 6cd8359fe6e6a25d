"""A space's axes, cut to what data set and network have: other values are left out, and it is said which."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from engine.data import DataInfo
from engine.errors import DataLimitError, InputError, LackingPartError
from engine.spaces import Axis, Choice, Float, Space
from engine.spaces.axes import applies, can_take
from engine.stages import plan_trial
from engine.stages.limits import LIMITED, may_ask_too_much

_PLACE = "push_pull.where"

Excess = Callable[[Any], str | None]
"""Says why a value is more than the data set has, or None."""


def fit_axes(space: Space, info: DataInfo) -> tuple[Space, tuple[str, ...]]:
    """Return a space without the values that its data set is too small for, or its network has no such part for, and a
    sentence on each axis that lost some.

    A value goes if there is a proposal with it that the data set is too small for, such as 400 noisy images of 400
    where another axis may ask for an unpaired ranking. A network may have no first block.

    Raises:
        InputError: an axis of which nothing is left.
    """
    notes: list[str] = []
    for place in [axis for axis in space.axes if axis.setting == _PLACE and isinstance(axis, Choice)]:
        fitted, note = _with_parts(space, place, info)
        if note is not None:
            axes, gone = _possible(tuple(fitted if other is place else other for other in space.axes), _PLACE)
            notes += [note, *gone]
            space = dataclasses.replace(space, axes=axes)
    for setting in LIMITED:
        for label in [axis.label for axis in space.axes if axis.setting == setting and not isinstance(axis, Float)]:
            axis = next(axis for axis in space.axes if axis.label == label)
            fitted, note = _fitted(axis, _excess(space, axis, info))
            if note is not None:
                axes = tuple(fitted if other is axis else other for other in space.axes)
                axes, gone = _possible(axes, setting)
                notes += [note, *gone]
                space = dataclasses.replace(space, axes=axes)
    return space, tuple(notes)


def with_limited(space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a proposal, with the least value of each axis that a data set limits where it applies.

    The base's own value of such a setting is no proposal's, and may be more than the data set has.
    """
    flat = {**space.base.flat(), **settings}
    limited = [axis for axis in space.axes if axis.setting in LIMITED and axis.setting not in settings]
    return {**settings, **{axis.setting: min(axis.extremes()) for axis in limited if applies(axis, flat)}}


def _with_parts(space: Space, axis: Choice, info: DataInfo) -> tuple[Axis, str | None]:
    """Return an axis without the places that the network does not have, and what was left out.

    Where no other would be left it stays as it is: the check of the axes says what is wrong.
    """
    reasons: dict[Any, str] = {}
    conditions = {path: values[0] for path, values in axis.when.items()}
    for value in axis.values:
        try:
            plan_trial(space.config(with_limited(space, {**conditions, axis.setting: value}), seed=0), info)
        except LackingPartError as error:
            reasons[value] = str(error)
        except InputError:
            continue  # for another reason, which is told later
    kept = tuple(value for value in axis.values if value not in reasons)
    if not reasons or len(kept) < 2:
        return axis, None
    return dataclasses.replace(axis, values=kept), _left_out(axis, reasons, next(iter(reasons)))


def _left_out(axis: Choice, reasons: Mapping[Any, str], told: Any) -> str:
    """Return which values of an axis are left out, with the reason of one."""
    out = ", ".join(map(str, reasons))
    return f"{len(reasons)} of {len(axis.values)} values of axis {axis.label!r} are left out: {out} ({reasons[told]})"


def _fitted(axis: Axis, excess: Excess) -> tuple[Axis, str | None]:
    """Return an axis without the values that are too many, and what was left out."""
    if isinstance(axis, Choice):
        reasons = {value: reason for value in axis.values if (reason := excess(value)) is not None}
        kept = tuple(value for value in axis.values if value not in reasons)
        if not reasons:
            return axis, None
        _require(kept, axis, reasons[min(reasons)])
        return dataclasses.replace(axis, values=kept), _left_out(axis, reasons, min(reasons))
    assert not isinstance(axis, Float)
    reason = excess(axis.high)
    if reason is None:
        return axis, None
    least = excess(axis.low)
    _require(least is None, axis, least)
    possible, too_many = 0, (axis.high - axis.low) // axis.step + 1
    while too_many - possible > 1:
        middle = (possible + too_many) // 2
        possible, too_many = (possible, middle) if excess(axis.low + middle * axis.step) else (middle, too_many)
    high = axis.low + possible * axis.step
    note = f"the values of axis {axis.label!r} over {high} are left out ({reason})"
    if possible == 0:
        return Choice(axis.setting, (axis.low,), when=axis.when, label=axis.label), note
    return dataclasses.replace(axis, high=high), note


def _possible(axes: Sequence[Axis], setting: str) -> tuple[tuple[Axis, ...], list[str]]:
    """Return axes without conditions on values of a setting that no axis has any more, and what went with them."""
    deciding = [axis for axis in axes if axis.setting == setting]
    kept: list[Axis] = []
    gone = []
    for axis in axes:
        asked = axis.when.get(setting, ())
        left = tuple(value for value in asked if any(can_take(other, value) for other in deciding))
        if asked and not left:
            gone.append(
                f"axis {axis.label!r} is left out, which is for `{setting}` {' or '.join(map(str, asked))} alone"
            )
        elif left != asked:
            kept.append(dataclasses.replace(axis, when={**axis.when, setting: left}))
        else:
            kept.append(axis)
    return tuple(kept), gone


def _require(left: object, axis: Axis, reason: str | None) -> None:
    if not left:
        raise InputError(
            f"axis {axis.label!r} has no value that the data set is large enough for: {reason}; the axis is of the "
            "space: give it smaller values in a copy of the space's file, named with --space"
        )


def _excess(space: Space, axis: Axis, info: DataInfo) -> Excess:
    """Return what says why a value of an axis is more than the data set has, in any proposal."""
    surroundings = list(_surroundings(space, axis))

    def reason(value: Any) -> str | None:
        for settings in surroundings:
            try:
                config = space.config(with_limited(space, {**settings, axis.setting: value}), seed=0)
                if may_ask_too_much(config, info):
                    plan_trial(config, info)
            except DataLimitError as error:
                return str(error)
            except InputError:
                continue  # not the data set's fault: the check of the axes says what is wrong
        return None

    return reason


def _surroundings(space: Space, axis: Axis) -> Iterator[dict[str, Any]]:
    """Yield settings under which an axis applies: alone, and beside every value of every other axis that may be there.

    Axes that are cut to the data set after this one are not among them.
    """
    yield {path: values[0] for path, values in axis.when.items()}
    later = LIMITED[LIMITED.index(axis.setting) :]
    for other in space.axes:
        if other.setting in later or axis.setting in other.when:
            continue
        shared = {
            path: tuple(value for value in values if value in axis.when.get(path, values))
            for path, values in {**axis.when, **other.when}.items()
        }
        if not all(shared.values()):
            continue
        settings = {path: values[0] for path, values in shared.items()}
        for value in other.extremes():
            if value in axis.when.get(other.setting, (value,)):
                yield {**settings, other.setting: value}
