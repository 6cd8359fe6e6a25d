"""Ablations as values: what a method is made of, and which arms and comparisons show what each part of it is for.

An ablation yields arms, which run as any others do (on every seed, never pruned), and the comparisons that are
declared by it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine.corruption_kinds import ALL
from engine.errors import InputError, unknown_name
from engine.explanation import as_typed
from engine.spaces.arms import Arm
from engine.spaces.contrasts import Contrast, checked_outcomes
from engine.spaces.factorial import RESOLUTIONS, Design, design
from engine.spaces.method_parts import Part, Settings, build, built, check_distinct, check_name, checked_settings, over

FULL = "full"
REFERENCE = "reference"


@dataclass(frozen=True)
class LeaveOneOut:
    """A full method, and the method without each of its parts, one at a time.

    Its arms are "full", "without PART" for every part, and "CONTROL for PART" for every part with a control. Declared
    are the full method against each of them.

    Attributes:
        name: short and unique in its space.
        parts: what is left out, one at a time.
        full: {dotted path: value} over the space's base: the method with all its parts.
        outcomes: what arms are compared by, as of ``Comparison``.

    Raises:
        InputError: no part, or two of one name.
    """

    kind: ClassVar[str] = "leave-one-out"
    name: str
    parts: tuple[Part, ...]
    full: Settings = field(default_factory=dict)
    outcomes: tuple[str, ...] = (ALL,)

    def __post_init__(self) -> None:
        _check_ablation(self)
        object.__setattr__(self, "parts", built(self.parts, Part, f"ablation {self.name!r}: `parts`"))
        full = checked_settings(self.full, f"ablation {self.name!r}: `full`", empty=True)
        object.__setattr__(self, "full", full)
        check_distinct(self.name, "part", [part.name for part in self.parts])

    def described(self) -> str:
        """Return its parts, and what each is controlled by, in words."""
        return ", ".join(map(_described, self.parts))

    def arms(self) -> list[Arm]:
        """Return the full method, then for each part the method without it and with its control."""
        found = [Arm(FULL, self.full, control=True)]
        for part in self.parts:
            found.append(Arm(without_arm(part), over(self.full, part.without)))
            if part.control is not None:
                found.append(Arm(control_arm(part), over(self.full, part.control_settings)))
        return found

    def contrasts(self) -> list[Contrast]:
        """Return the full method less each other arm: below 0 where a part makes errors fewer."""
        found = []
        for part in self.parts:
            pairs = [("part", without_arm(part), "without it")]
            pairs += [("control", control_arm(part), part.control_name)] if part.control is not None else []
            for kind, arm, against in pairs:
                weights = {FULL: 1.0, arm: -1.0}
                found.append(
                    Contrast(kind, part.name, weights, self.outcomes, against, ablation=self.name)  # type: ignore[arg-type]
                )
        return found


@dataclass(frozen=True)
class OneAtATime:
    """A reference, and what it is with one factor changed at a time.

    Its arms are "reference" and one for each alternative; declared is every alternative against the reference.

    Attributes:
        name: short and unique in its space.
        alternatives: {name: {dotted path: value} over the reference}; ``one_each`` makes them of lists of values.
        reference: {dotted path: value} over the space's base.
        outcomes: what arms are compared by, as of ``Comparison``.

    Raises:
        InputError: no alternative.
    """

    kind: ClassVar[str] = "one-at-a-time"
    name: str
    alternatives: Mapping[str, Settings]
    reference: Settings = field(default_factory=dict)
    outcomes: tuple[str, ...] = (ALL,)

    def __post_init__(self) -> None:
        _check_ablation(self)
        reference = checked_settings(self.reference, f"ablation {self.name!r}: `reference`", empty=True)
        object.__setattr__(self, "reference", reference)
        if not isinstance(self.alternatives, Mapping) or not self.alternatives:
            raise InputError(
                f"ablation {self.name!r} needs alternatives as {{name: settings}}, got {self.alternatives!r}"
            )
        for name in self.alternatives:
            check_name(name, f"an alternative of ablation {self.name!r}")
            if name == REFERENCE:
                raise InputError(f"ablation {self.name!r}: an alternative needs another name than {REFERENCE!r}")
        checked = {name: checked_settings(some, f"alternative {name!r}") for name, some in self.alternatives.items()}
        object.__setattr__(self, "alternatives", checked)

    def described(self) -> str:
        """Return its alternatives in words."""
        return ", ".join(self.alternatives)

    def arms(self) -> list[Arm]:
        """Return the reference, then the alternatives."""
        found = [Arm(REFERENCE, self.reference, control=True)]
        return found + [Arm(name, over(self.reference, more)) for name, more in self.alternatives.items()]

    def contrasts(self) -> list[Contrast]:
        """Return each alternative less the reference."""
        return [
            Contrast("alternative", name, {name: 1.0, REFERENCE: -1.0}, self.outcomes, REFERENCE, ablation=self.name)
            for name in self.alternatives
        ]


def one_each(values: Mapping[str, Sequence[Any]]) -> dict[str, Settings]:
    """Return alternatives that change one setting each: "distance=l2" for ``{"rank.distance": ("l2",)}``.

    Raises:
        InputError: a setting's values are no list.
    """
    for path, some in values.items():
        if isinstance(some, str | Mapping) or not isinstance(some, Iterable):
            raise InputError(f"one_each: the values of {path!r} are a list, got {some!r}")
    return {
        f"{path.rpartition('.')[2]}={as_typed(value)}": {path: value} for path, some in values.items() for value in some
    }


@dataclass(frozen=True)
class Factor:
    """What a factorial design has with and without.

    Attributes:
        name: short and unique in its ablation.
        on: {dotted path: value} over the space's base, with it.
        off: the same without it.
    """

    name: str
    on: Settings
    off: Settings

    def __post_init__(self) -> None:
        check_name(self.name, "a factor")
        for which in ("on", "off"):
            settings = checked_settings(getattr(self, which), f"factor {self.name!r}: `{which}`")
            object.__setattr__(self, which, settings)


@dataclass(frozen=True)
class Factorial:
    """All combinations of factors with and without each, or a fraction of them.

    Its arms are called by what they have ("push-pull + tuning", "push-pull", "nothing"). Declared are every factor's
    main effect (with it less without it, averaged over the combinations) and, where they can be told from main effects,
    the interactions of two: by how much a factor's effect is another one with the other than without.

    Attributes:
        name: short and unique in its space.
        factors: from 2 to 8.
        resolution: 3, 4 or 5 for the smallest fraction of at least that resolution; None for all combinations.
        outcomes: what arms are compared by, as of ``Comparison``.

    Raises:
        InputError: factors that are too few, too many or not unique, or a resolution that no fraction of them has.
    """

    kind: ClassVar[str] = "factorial"
    name: str
    factors: tuple[Factor, ...]
    resolution: int | None = None
    outcomes: tuple[str, ...] = (ALL,)

    def __post_init__(self) -> None:
        _check_ablation(self)
        object.__setattr__(self, "factors", built(self.factors, Factor, f"ablation {self.name!r}: `factors`"))
        check_distinct(self.name, "factor", [factor.name for factor in self.factors])
        for one, other in itertools.combinations(self.factors, 2):
            shared = sorted({*one.on, *one.off} & {*other.on, *other.off})
            if shared:
                raise InputError(
                    f"ablation {self.name!r}: factors {one.name!r} and {other.name!r} both set `{shared[0]}`, so that "
                    "one has no effect beside the other"
                )
        self.design  # noqa: B018 - refuses what cannot be made

    @property
    def design(self) -> Design:
        """Return which combinations are run."""
        return design(len(self.factors), self.resolution)

    def described(self) -> str:
        """Return its factors, how many combinations of them are run, and what a fraction confuses, in words."""
        n_runs, resolution = len(self.design.runs()), self.design.resolution
        names = " × ".join(factor.name for factor in self.factors)
        if resolution is None:
            return f"{names}, all {n_runs} combinations"
        return (
            f"{names}, {n_runs} of {2 ** len(self.factors)} combinations: resolution "
            f"{RESOLUTIONS.get(resolution, 'above V')}, {_CONFUSED[min(resolution, 5)]}"
        )

    def arms(self) -> list[Arm]:
        """Return an arm for every combination that is run; that without any of the factors is a control."""
        return [Arm(self._arm_name(run), self._settings(run), control=max(run) < 0) for run in self.design.runs()]

    def _arm_name(self, run: Sequence[int]) -> str:
        return " + ".join(self._names(place for place, level in enumerate(run) if level > 0)) or "nothing"

    def _settings(self, run: Sequence[int]) -> Settings:
        settings: Settings = {}
        for factor, level in zip(self.factors, run, strict=True):
            settings = over(settings, factor.on if level > 0 else factor.off)
        return settings

    def _names(self, factors: Iterable[int]) -> list[str]:
        return [self.factors[factor].name for factor in sorted(factors)]

    def contrasts(self) -> list[Contrast]:
        """Return the main effects, then the interactions of two factors that are confused with no main effect."""
        numbers = range(len(self.factors))
        found = [self._contrast(frozenset({number})) for number in numbers]
        shown: set[frozenset[int]] = set()
        for pair in map(frozenset, itertools.combinations(numbers, 2)):
            aliases = self.design.aliases(pair, 2)
            if pair not in shown and not any(len(alias) == 1 for alias in aliases):
                shown |= {pair, *aliases}
                found.append(self._contrast(pair))
        return found

    def _contrast(self, effect: frozenset[int]) -> Contrast:
        """Return an effect: the difference of two means, and of two such differences."""
        runs, is_main = self.design.runs(), len(effect) == 1
        share = (2 if is_main else 4) / len(runs)
        weights = {self._arm_name(run): share * self.design.sign(effect, run) for run in runs}
        others = self._names(set(range(len(self.factors))) - effect) if is_main else []
        return Contrast(
            "main" if is_main else "interaction",
            " × ".join(self._names(effect)),
            weights,
            self.outcomes,
            among=tuple(others),
            confused=tuple(" × ".join(self._names(alias)) for alias in self.design.aliases(effect, 2)),
            ablation=self.name,
        )


_CONFUSED = {
    3: "main effects are confused with interactions of two factors",
    4: "interactions of two factors are confused with each other",
    5: "neither main effects nor interactions of two factors are confused with each other",
}

Ablation = LeaveOneOut | OneAtATime | Factorial
KINDS: dict[str, type[Ablation]] = {kind.kind: kind for kind in (LeaveOneOut, OneAtATime, Factorial)}


def ablation_to_json(ablation: Ablation) -> dict[str, Any]:
    """Return an ablation as a JSON value."""
    return {"kind": ablation.kind, **dataclasses.asdict(ablation)}


def ablation_from_json(value: Mapping[str, Any]) -> Ablation:
    """Return the ablation of ``ablation_to_json``.

    Raises:
        InputError: it is none.
    """
    arguments = dict(value)
    kind = arguments.pop("kind", None)
    if kind not in KINDS:
        raise unknown_name("kind of ablation", str(kind), KINDS)
    return build(KINDS[kind], arguments, f"ablation {arguments.get('name')!r}")


def _described(part: Part) -> str:
    if part.control is not None:
        return f"{part.name} (control: {part.control_name})"
    natural = f"; {part.natural_control} would be one" if part.natural_control else ""
    return f"{part.name} (no control{natural})"


def without_arm(part: Part) -> str:
    """Return the name of the arm without a part."""
    return f"without {part.name}"


def control_arm(part: Part) -> str:
    """Return the name of the arm with a part's control."""
    return f"{part.control_name} for {part.name}"


def _check_ablation(ablation: Ablation) -> None:
    check_name(ablation.name, "an ablation")
    object.__setattr__(ablation, "outcomes", checked_outcomes(ablation.outcomes, f"ablation {ablation.name!r}"))
