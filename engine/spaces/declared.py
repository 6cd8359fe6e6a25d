"""What a space's ablations come to: arms beside its own, and the comparisons that are declared beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError, unknown_name
from engine.settings import TrialConfig
from engine.spaces.ablations import FULL, Ablation, LeaveOneOut, control_arm, without_arm
from engine.spaces.arms import WINNER, Arm
from engine.spaces.contrasts import Comparison, Contrast


@dataclass(frozen=True)
class Declared:
    """What ablations and comparisons come to over some base.

    Attributes:
        arms: those that the ablations add to a space's own.
        contrasts: the declared comparisons, by the names of the arms.
        names: {(ablation, its name of an arm): the arm's name in the space}.
    """

    arms: tuple[Arm, ...]
    contrasts: tuple[Contrast, ...]
    names: Mapping[tuple[str, str], str]


def declare(
    base: TrialConfig,
    own: Mapping[str, Mapping[str, Any]],
    ablations: Sequence[Ablation],
    comparisons: Iterable[Comparison],
    *,
    searched: bool = False,
) -> Declared:
    """Return what ablations and comparisons come to.

    An arm of an ablation that has the settings of another arm is that arm. Of several ablations the arms are called
    after them ("parts: full").

    Args:
        base: of the space.
        own: {arm: its settings} of the space's own arms.
        ablations: of the space.
        comparisons: of the space's arms.
        searched: whether there is a winner beside the arms.

    Raises:
        InputError: a part that changes nothing, a control that is none, an arm that cannot be, or is not there.
    """
    known: dict[str, str] = {}
    for name, settings in own.items():
        known.setdefault(base.with_settings(settings).digest, name)
    arms: list[Arm] = []
    names: dict[tuple[str, str], str] = {}
    for ablation in ablations:
        _check_arm_names(ablation)
        check_parts(ablation, {arm.name: _digest(base, ablation, arm) for arm in ablation.arms()})
        for arm in ablation.arms():
            name = f"{ablation.name}: {arm.name}" if len(ablations) > 1 else arm.name
            digest = _digest(base, ablation, arm)
            if digest not in known:
                if name in own or name in [other.name for other in arms]:
                    whose = "the space" if name in own else "an ablation before it"
                    raise InputError(
                        f"ablation {ablation.name!r} has an arm {name!r}, and so has {whose}, with other settings: "
                        "rename one"
                    )
                known[digest] = name
                arms.append(dataclasses.replace(arm, name=name))
            names[ablation.name, arm.name] = known[digest]
    contrasts = [comparison.contrast() for comparison in comparisons]
    contrasts += [_renamed(contrast, names) for ablation in ablations for contrast in ablation.contrasts()]
    everyone = [*own, *(arm.name for arm in arms), *([WINNER] if searched else [])]
    for contrast in contrasts:
        for name in contrast.weights:
            if name not in everyone:
                raise unknown_name("arm", name, everyone, of=f"comparison {contrast.name!r}")
    _check_unique(contrasts)
    return Declared(tuple(arms), tuple(contrasts), names)


def check_parts(ablation: Ablation, identities: Mapping[str, Any], what: str = "settings") -> None:
    """Check that what an ablation takes away, changes or puts in its place makes a difference.

    Args:
        ablation: what is checked.
        identities: {its arm: what arms share that are the same}.
        what: what that is, for the errors.

    Raises:
        InputError: a part that changes nothing, a control that is no control, or two arms that are one.
    """
    if isinstance(ablation, LeaveOneOut):
        for part in ablation.parts:
            where, left_out = f"part {part.name!r} of ablation {ablation.name!r}", without_arm(part)
            if identities[left_out] == identities[FULL]:
                raise InputError(
                    f"{where} changes nothing: without it ({_listed(part.without)}) the {what} are those of the full "
                    "method"
                )
            for arm in (FULL, left_out) if part.control is not None else ():
                if identities[control_arm(part)] == identities[arm]:
                    raise InputError(
                        f"{where}: {part.control_name!r} is no control: with it ({_listed(part.control_settings)}) the "
                        f"{what} are those of {'the full method' if arm == FULL else 'leaving the part out'}"
                    )
    first: dict[Any, str] = {}
    parts = ablation.parts if isinstance(ablation, LeaveOneOut) else ()
    controls = {control_arm(part) for part in parts}
    for arm, identity in identities.items():
        other = first.setdefault(identity, arm)
        if other != arm and arm not in controls:
            raise InputError(
                f"ablation {ablation.name!r}: arms {other!r} and {arm!r} have the same {what}, so that what tells them "
                "apart changes nothing"
            )


def _check_arm_names(ablation: Ablation) -> None:
    """Refuse two arms of one name, as the factors "a" and "b" have beside one that is called "a + b"."""
    names = [arm.name for arm in ablation.arms()]
    double = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if double is not None:
        raise InputError(f"ablation {ablation.name!r} would have two arms {double!r}: rename what it is made of")


def _digest(base: TrialConfig, ablation: Ablation, arm: Arm) -> str:
    try:
        return base.with_settings(arm.settings).digest
    except InputError as error:
        raise InputError(f"ablation {ablation.name!r}, arm {arm.name!r}: {error}") from error


def _renamed(contrast: Contrast, names: Mapping[tuple[str, str], str]) -> Contrast:
    weights = {names[contrast.ablation, arm]: weight for arm, weight in contrast.weights.items()}
    return dataclasses.replace(contrast, weights=weights)


def _check_unique(contrasts: Sequence[Contrast]) -> None:
    """Refuse a comparison that is declared twice: a family counts its members."""
    known: dict[tuple[Any, str], str] = {}
    for contrast in contrasts:
        for outcome in contrast.outcomes:
            weights = frozenset(contrast.weights.items())
            turned = frozenset((arm, -weight) for arm, weight in weights)
            other = known.get((weights, outcome)) or known.get((turned, outcome))
            if other is not None:
                raise InputError(
                    f"comparisons {other!r} and {contrast.name!r} are one, by {outcome!r}: a family counts its "
                    "members, so leave one out"
                )
            known[weights, outcome] = contrast.name


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{path}`={value}" for path, value in settings.items())
