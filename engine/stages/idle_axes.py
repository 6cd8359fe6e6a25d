"""Axes and arms that can change nothing because of the network or the number of images: all of their values come to one
network, or one tuning of it.

What no network could make matter is refused when a space is made (``engine.spaces.reach``). Here the network is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from engine.errors import InputError
from engine.settings import TrialConfig
from engine.spaces import Arm, Axis, Space
from engine.spaces.axes import applies
from engine.stages.axis_limits import with_limited

MAX_CONTEXTS = 500
"""How many surroundings of an axis are planned before it counts as one that matters."""

_ELSEWHERE = ("pretrain.", "distortion.", "finetune.training.")
"""Settings that have no part in what the network makes of others."""

_BATCHES = ".batch_size"
"""How settings end that come to the same from the number of images on."""

_NETWORK = ("model.", "push_pull.")
"""Settings of what the network is."""

_TUNING = ("finetune.", "rank.")
"""Settings that have no part in what the network is."""


def check_axis_changes_something(space: Space, axis: Axis, identity: Callable[[TrialConfig], str]) -> None:
    """Make sure that two values of an axis come to different numbers somewhere.

    Args:
        space: with the base as it is.
        axis: one of its axes; of those that the network has no part in nothing is asked.
        identity: what configurations have in common that come to the same numbers.

    Raises:
        InputError: they never do, as with `push_pull.h` of 2 and 2.5 over 3×3 kernels.
    """
    by_images = axis.setting.endswith(_BATCHES)
    if (axis.setting.startswith(_ELSEWHERE) and not by_images) or len(axis.extremes()) < 2:
        return
    is_planned = False
    for place, surroundings in enumerate(_surroundings(space, axis)):
        if place == MAX_CONTEXTS:
            return
        found = set()
        for value in axis.extremes():
            try:
                settings = with_limited(space, {**surroundings, axis.setting: value})
                found.add(identity(space.config(settings, seed=0)))
            except InputError:
                continue  # what can't be together is somebody else's to refuse
        if len(found) > 1:
            return
        is_planned = is_planned or bool(found)
    if is_planned:
        what = "all images are in one batch" if by_images else f"network {_networks(space)} comes to the same numbers"
        raise InputError(
            f"axis {axis.label!r} can change nothing: whichever of its values is proposed "
            f"({', '.join(map(str, axis.extremes()))}), {what}"
        )


def check_arms_differ(
    space: Space, arms: Iterable[Arm], seeds: Iterable[int], identity: Callable[[TrialConfig], str]
) -> None:
    """Make sure that no arm comes to the numbers of an arm before it, unless it is a control, such as a placebo.

    Args:
        space: with the base as it is.
        arms: those of its arms that are run; they can be planned.
        seeds: of the arms' repeats.
        identity: what configurations have in common that come to the same numbers.

    Raises:
        InputError: one does, as `rank.distance` where no filters are tuned; names both.
    """
    repeats = list(seeds)
    known: dict[tuple[str, ...], Arm] = {}
    for arm in arms:
        found = tuple(identity(space.config(arm.settings, seed=seed)) for seed in repeats)
        first = known.setdefault(found, arm)
        if first is not arm and not arm.control:
            one, other = (space.config(each.settings, seed=0).flat() for each in (first, arm))
            apart = [path for path in other if other[path] != one[path]]
            raise InputError(
                f"arms {first.name!r} and {arm.name!r} of space {space.name!r} come to the same numbers: that they "
                f"differ in {', '.join(f'`{path}`' for path in apart)} changes nothing here; leave one out, change "
                f"one, or declare {arm.name!r} a control if it is meant as a placebo"
            )


def _networks(space: Space) -> str:
    """Return the names of the networks that a space has."""
    names = [name for axis in space.axes if axis.setting == "model.name" for name in axis.extremes()]
    return " or ".join(map(str, dict.fromkeys(names or [space.base.model.name])))


def _surroundings(space: Space, axis: Axis) -> Iterator[dict[str, Any]]:
    """Yield what a proposal may have beside an axis where it applies, in all that can decide whether it matters."""
    varied = _deciding(space, axis)

    def go_on(place: int, flat: Mapping[str, Any], chosen: dict[str, Any], counts: bool) -> Iterator[dict[str, Any]]:
        if place == len(space.axes):
            if counts:
                yield chosen
            return
        other = space.axes[place]
        if not applies(other, flat):
            yield from go_on(place + 1, flat, chosen, counts)
            return
        for value in other.extremes() if other.setting in varied and other is not axis else other.extremes()[:1]:
            counts_still = other is axis or (counts and other.setting != axis.setting)
            settings = {**chosen, other.setting: value}
            yield from go_on(place + 1, {**flat, other.setting: value}, settings, counts_still)

    return go_on(0, space.base.flat(), {}, False)


def _deciding(space: Space, axis: Axis) -> set[str]:
    """Return the settings on which it may depend whether an axis changes something."""
    apart: tuple[str, ...] = ()  # of a user's own stage nothing is known
    if axis.setting.endswith(_BATCHES):
        apart = (*_NETWORK, "rank.distance", "pretrain.", "finetune.training.")
    elif axis.setting.startswith(_TUNING):
        apart = _ELSEWHERE
    elif axis.setting.startswith(_NETWORK):
        apart = (*_ELSEWHERE, *_TUNING)
    found = {other.setting for other in space.axes if not other.setting.startswith(apart)} | set(axis.when)
    while more := {path for other in space.axes if other.setting in found for path in other.when} - found:
        found |= more
    return found
