"""What a space declares beforehand to be compared: these comparisons are tested together, all others are explored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.corruption_kinds import ALL, CLEAN, TUNED_ON, by_kind
from engine.errors import InputError, unknown_name

Kind = Literal["pair", "part", "control", "alternative", "main", "interaction"]


@dataclass(frozen=True)
class Comparison:
    """An arm against another one, declared before anything is run.

    Attributes:
        arm: whose effect is asked for.
        reference: the arm that it is compared with.
        outcomes: errors that they are compared by: "clean", a kind of corruption ("noise"), a corruption, "all", or
            "tuned on": the distortion that filters were tuned on, one for both.
    """

    arm: str
    reference: str
    outcomes: tuple[str, ...] = (ALL,)

    def __post_init__(self) -> None:
        where = f"comparison of {self.arm!r} with {self.reference!r}"
        if self.arm == self.reference:
            raise InputError(f"{where}: an arm is compared with another one than itself")
        object.__setattr__(self, "outcomes", checked_outcomes(self.outcomes, where))

    def contrast(self) -> Contrast:
        """Return what is computed for it."""
        return Contrast("pair", self.arm, {self.arm: 1.0, self.reference: -1.0}, self.outcomes, against=self.reference)


@dataclass(frozen=True)
class Contrast:
    """A declared comparison as it is computed: a weighted sum of arms' errors, on every seed for itself.

    It is 0 where there is no effect, and negative where ``subject`` makes errors fewer.

    Attributes:
        kind: what is compared with what.
        subject: whose effect it is: an arm, a part of a method, an alternative, one factor or ("a × b") two.
        weights: {arm: weight}, their sum 0.
        outcomes: the errors that are asked for.
        against: what it is compared with: a reference's name, or the control's.
        among: the factors that a main effect is averaged over.
        confused: other effects of one or two factors that a fraction of a design cannot tell from it.
        ablation: name of the ablation that it is of; "" for a comparison of a space itself.
    """

    kind: Kind
    subject: str
    weights: Mapping[str, float]
    outcomes: tuple[str, ...] = (ALL,)
    against: str = ""
    among: tuple[str, ...] = ()
    confused: tuple[str, ...] = ()
    ablation: str = ""

    @property
    def name(self) -> str:
        """Return what it is called in tables: what is compared, and with what."""
        if self.kind in ("main", "interaction"):
            return self.subject + (f" (or {', '.join(self.confused)})" if self.confused else "")
        return f"{self.subject} − {self.against}"


def checked_outcomes(outcomes: Any, where: str) -> tuple[str, ...]:
    """Return outcomes as a tuple of words, each once.

    Raises:
        InputError: they are none, or something else.
    """
    given = (outcomes,) if isinstance(outcomes, str) else tuple(outcomes) if isinstance(outcomes, Iterable) else ()
    if not given or not all(isinstance(name, str) and name for name in given) or len(set(given)) < len(given):
        raise InputError(f"{where}: `outcomes` must be errors such as clean, noise or all, each once, got {outcomes!r}")
    return given


def check_tested(
    contrasts: Iterable[Contrast], corruptions: Collection[str], tuned_on: Mapping[str, str] | None = None
) -> None:
    """Check that what is declared can be measured, and that no number is tested twice.

    Args:
        contrasts: what is declared.
        corruptions: those that trials are tested on.
        tuned_on: {arm: the distortion that its filters are tuned on, in words}, of the arms that tune some.

    Raises:
        InputError: an outcome that is not tested, two that are one number here, or arms that are tuned on different
            distortions and compared by that.
    """
    means: dict[str, tuple[str, ...]] = {CLEAN: (CLEAN,), **{name: (name,) for name in corruptions}}
    means |= {kind: tuple(names) for kind, names in by_kind(corruptions).items()}
    if corruptions:
        means[ALL] = tuple(dict.fromkeys(corruptions))
    means[TUNED_ON] = (TUNED_ON,)
    for contrast in contrasts:
        if TUNED_ON in contrast.outcomes:
            _check_tuned_on(contrast, tuned_on or {})
        known: dict[frozenset[str], str] = {}
        for outcome in contrast.outcomes:
            if outcome not in means:
                raise unknown_name("tested outcome", outcome, means, of=f"comparison {contrast.name!r}")
            first = known.setdefault(frozenset(means[outcome]), outcome)
            if first != outcome:
                raise InputError(
                    f"comparison {contrast.name!r}: {first!r} and {outcome!r} are one number here, the error under "
                    f"{', '.join(means[outcome])}: leave one out"
                )


def _check_tuned_on(contrast: Contrast, tuned_on: Mapping[str, str]) -> None:
    """Refuse arms that are compared by what they were tuned on, and were tuned on different things, or on none."""
    suffered = {arm: tuned_on.get(arm, "nothing that is known before") for arm in contrast.weights}
    if len(set(suffered.values())) > 1 or not suffered.keys() <= tuned_on.keys():
        got = ", ".join(f"{arm!r} is tuned on {words}" for arm, words in suffered.items())
        raise InputError(
            f"comparison {contrast.name!r}: by {TUNED_ON!r} all of its arms must be tuned on one distortion: {got}"
        )
