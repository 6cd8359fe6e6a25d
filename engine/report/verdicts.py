"""Verdicts on the comparisons that a space declares beforehand: what each shows, in words that claim no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.corruption_kinds import ALL, CLEAN, TUNED_ON
from engine.metrics.inference import (
    LEVEL,
    Evidence,
    evidence,
    family_bound,
    holm,
    is_shown,
    least_sign_flip_p,
    seeds_for_a_claim,
    sign_flip_level,
    smallest_effect,
    spread_limit,
)
from engine.report.groups import GroupSummary
from engine.report.results import Results
from engine.spaces import Space
from engine.spaces.contrasts import Contrast

_TIE = 1e-12
"""Differences of errors up to here are rounding: errors are shares of images."""


@dataclass(frozen=True)
class Finding:
    """A declared comparison by one outcome, with what the study says of it.

    Attributes:
        contrast: what is compared.
        outcome: the error that it is compared by.
        evidence: of the differences, one a seed that all its arms have; None where there is no such seed.
        holm_p: p-value of the t test, corrected over the family; 1 where it is not tested.
        n_family: comparisons of the family, those that could not be computed too.
        n_seeds: how many seeds there are to be.
        arms: the arms that it is made of.
        is_final: whether no seed of an arm is still to be run; only then it is tested.
    """

    contrast: Contrast
    outcome: str
    evidence: Evidence | None
    holm_p: float
    n_family: int
    n_seeds: int
    arms: tuple[GroupSummary, ...]
    is_final: bool

    @property
    def n(self) -> int:
        """Return how many seeds are compared."""
        return 0 if self.evidence is None else self.evidence.n

    @property
    def is_starred(self) -> bool:
        """Return whether there is an effect, by the rule of ``engine.metrics.inference``."""
        found = self.evidence
        return self.is_final and found is not None and is_shown(self.holm_p, found.sign_flip_p, found.n, self.n_family)

    @property
    def bound(self) -> float:
        """Return the largest effect that may be there all the same, a fraction; it holds for all of the family."""
        return math.inf if self.evidence is None else family_bound(self.evidence.values, self.n_family)

    @property
    def detectable(self) -> float:
        """Return the smallest effect that so many seeds show 4 times in 5, a fraction, by the spread of these seeds."""
        found = self.evidence
        if found is None or found.n < 2 or least_sign_flip_p(found.n) > LEVEL:
            return math.inf
        return smallest_effect(found.n, self.n_family) * spread_limit(found.values)


def findings(results: Results) -> list[Finding]:
    """Return what a study says of every comparison that its space declares, by every outcome; none where it has none.

    All of them are one family: Holm's correction counts those that could not be computed too.
    """
    groups = {group.name: group for group in results.groups()}
    n_seeds = results.space.n_seeds
    found: list[tuple[Contrast, str, Evidence | None, tuple[GroupSummary, ...], bool]] = []
    for contrast in results.space.family if groups else ():
        arms = tuple(groups.get(name) or GroupSummary(name, (), {}, (), n_seeds) for name in contrast.weights)
        is_final = not any(arm.n_missing for arm in arms)
        for outcome in contrast.outcomes:
            values = contrast_values(contrast, arms, outcome)
            found.append((contrast, outcome, evidence(values) if values else None, arms, is_final))
    tested = [one.t_p if one is not None and is_final else 1.0 for _, _, one, _, is_final in found]
    return [
        Finding(contrast, outcome, one, p, len(found), n_seeds, arms, is_final)
        for (contrast, outcome, one, arms, is_final), p in zip(found, holm(tested), strict=True)
    ]


def contrast_values(contrast: Contrast, arms: Sequence[GroupSummary], outcome: str) -> list[float]:
    """Return a contrast's value on every seed that all of its arms have, by seed.

    What is rounding alone is 0, and values that rounding alone sets apart are one: their spread is none.
    """
    columns = [
        dict(zip((trial.seed for trial in arm.trials), arm.errors.get(outcome, ()), strict=False)) for arm in arms
    ]
    seeds = sorted(set.intersection(*map(set, columns)))
    weights = contrast.weights.values()
    values = [
        math.fsum(weight * column[seed] for weight, column in zip(weights, columns, strict=True)) for seed in seeds
    ]
    known = [0.0]
    for place, value in enumerate(values):
        values[place] = next((other for other in known if abs(value - other) < _TIE), value)
        known.append(values[place])
    return values


def p_text(p: float) -> str:
    """Return a corrected p-value with two digits, or with as many as it takes to tell it from the level it is above."""
    digits = 2
    while p > LEVEL and float(f"{p:.{digits}g}") <= LEVEL:
        digits += 1
    return f"{p:.{digits}g}"


def verdict_lines(tested: Sequence[Finding]) -> list[str]:
    """Return the verdicts, a line for each comparison, under a line with what a star takes; none without any."""
    if not tested:
        return []
    n_family = len(tested)
    corrected = f" corrected for {n_family} comparisons (Holm)" if n_family > 1 else ""
    rule = "* is shown:" if any(one.is_starred for one in tested) else "nothing is shown, which takes"
    lines = [
        f"verdicts on what was declared beforehand; {rule} p ≤ {LEVEL:g} by t test{corrected} and "
        f"{_flips_words(tested)}"
    ]
    for contrast in dict.fromkeys(id(one.contrast) for one in tested):
        some = [one for one in tested if id(one.contrast) == contrast]
        lines.append(f"  {_verdict(some)}")
    return lines + limits_lines(tested[0].n_seeds)


def _flips_words(tested: Sequence[Finding]) -> str:
    """Return what p of sign flips a star needs, and what it needs of the fewer seeds that failures leave."""
    n_seeds, n_family = tested[0].n_seeds, len(tested)
    level = sign_flip_level(n_seeds, n_family)
    if not level:
        return "by sign flips"
    fewer = sorted({one.n for one in tested if one.n < n_seeds}, reverse=True)
    others = {n: sign_flip_level(n, n_family) for n in fewer}
    words = [f"≤ {other:.2g} of {n} seeds" for n, other in others.items() if other > level]
    return f"≤ {level:.2g} by sign flips" + (f" ({', '.join(words)})" if words else "")


def limits_lines(n_seeds: int) -> list[str]:
    """Return that so many seeds can show nothing, whatever comes out; no line where they can."""
    if least_sign_flip_p(n_seeds) > LEVEL:
        return [
            f"with {n_seeds} seeds nothing can be shown: the sign-flip test's p is at least 2/2^{n_seeds} = "
            f"{least_sign_flip_p(n_seeds):.2g}; {seeds_for_a_claim()} seeds can"
        ]
    return []


def power_sentence(n_family: int, n_seeds: int) -> str:
    """Return the smallest effect that so many seeds can show, before anything is known of the noise."""
    if limits := limits_lines(n_seeds):
        return limits[0]
    alone, least_p = "", least_sign_flip_p(n_seeds)
    if least_p > LEVEL / n_family:
        alone = (
            f"; sign flips alone could show nothing of {n_family} comparisons, since their p is at least "
            f"2/2^{round(1 - math.log2(least_p))} = {least_p:.2g}: t tests carry the correction"
        )
    least = smallest_effect(n_seeds, n_family)
    return (
        f"with {n_seeds} seeds an effect is found 4 times in 5 if it is at least {least:.1f} times as large as the "
        f"seeds' differences scatter (their standard deviation), as one of {n_family} "
        f"comparison{'s' * (n_family > 1)}{alone}"
    )


def declared_lines(space: Space) -> list[str]:
    """Return what a space declares, and the smallest effect that its seeds can show, before anything is run."""
    if not space.family:
        return []
    lines = [f"  ablation {ablation.name}: {ablation.kind}, {ablation.described()}" for ablation in space.ablations]
    for outcomes in dict.fromkeys(contrast.outcomes for contrast in space.family):
        names = [contrast.name for contrast in space.family if contrast.outcomes == outcomes]
        lines.append(f"  declared, by {' and '.join(outcomes)}: {'; '.join(names)}")
    n_family = sum(len(contrast.outcomes) for contrast in space.family)
    return [*lines, power_sentence(n_family, space.n_seeds)]


def _verdict(some: Sequence[Finding]) -> str:
    """Return the verdict on one comparison by all its outcomes."""
    clauses = [_clause(one) for one in some]
    subject = subject_words(some[0].contrast)
    joint = " " if clauses[0].startswith(("helps", "hurts")) else ": "
    notes = _seed_notes(some[0])
    return f"{subject}{joint}{'; '.join(clauses)}" + (f" ({notes})" if notes else "")


def subject_words(contrast: Contrast) -> str:
    """Return whose effect it is, and beside what."""
    words = {
        "pair": f"{contrast.subject} against {contrast.against}",
        "part": contrast.subject,
        "control": f"{contrast.subject} beyond its control ({contrast.against})",
        "alternative": f"{contrast.subject} instead of the {contrast.against}",
        "main": contrast.subject + (f" (averaged over {', '.join(contrast.among)})" if contrast.among else ""),
        "interaction": contrast.subject,
    }[contrast.kind]
    confused = ", ".join(contrast.confused)
    return words + (f" (or {confused}, which this fraction cannot tell from it)" if confused else "")


def outcome_words(outcome: str) -> str:
    """Return where an error is measured, in words."""
    words = {CLEAN: "on clean images", ALL: "under corruption", TUNED_ON: "under the distortion tuned on"}
    return words.get(outcome, f"under {outcome}")


def _clause(one: Finding) -> str:
    """Return what is shown by one outcome."""
    where, found = outcome_words(one.outcome), one.evidence
    if found is None:
        untested = [arm.name for arm in one.arms if arm.trials and one.outcome not in arm.errors]
        unrun = [arm.name for arm in one.arms if arm.n_missing == one.n_seeds]
        why = f"{' and '.join(untested)} not tested there" if untested else "no seed has all of its arms"
        why = f"{' and '.join(unrun)} not run" if unrun and not untested else why
        return f"nothing to compare {where}: {why}"
    if not any(found.values):
        return f"the same {where} on {'all ' * (found.n == one.n_seeds)}{found.n} seed{'s' * (found.n > 1)}"
    if one.is_starred:
        if one.contrast.kind == "interaction":
            return f"{_together(one)} *"
        return (
            f"{'helps' if found.mean < 0 else 'hurts'} {where} by {_points(abs(found.mean))} points {_interval(one)} *"
        )
    observed = _together(one) if one.contrast.kind == "interaction" else _so_much(one)
    if not one.is_final:
        return f"{observed} so far, not tested before all seeds are run"
    if least_sign_flip_p(found.n) > LEVEL:
        return f"{observed}, which {found.n} {'seed' if found.n == 1 else 'seeds'} cannot show"
    if found.low > 0 or found.high < 0 or found.sign_flip_p <= LEVEL:
        return f"{observed}, which is not shown (p {p_text(one.holm_p)}, by sign flips {found.sign_flip_p:.2g})"
    what = "interaction" if one.contrast.kind == "interaction" else "effect"
    return f"no {what} {where} larger than {_points(one.bound)} points could have been missed"


def _so_much(one: Finding) -> str:
    assert one.evidence is not None
    better = "better" if one.evidence.mean < 0 else "worse"
    return f"{_points(abs(one.evidence.mean))} points {better} {outcome_words(one.outcome)} {_interval(one)}"


def _together(one: Finding) -> str:
    """Return an interaction in words: errors are to be few, so that above 0 both together gain less."""
    assert one.evidence is not None
    less = "less" if one.evidence.mean > 0 else "more"
    return (
        f"together they gain {_points(abs(one.evidence.mean))} points {less} {outcome_words(one.outcome)} than their "
        f"effects add up to {_interval(one)}"
    )


def _interval(one: Finding) -> str:
    """Return the 95 % interval of an effect, turned so that its number in words is positive."""
    assert one.evidence is not None
    low, high = one.evidence.low, one.evidence.high
    if math.isnan(low):
        return "(one seed)"
    if one.evidence.mean < 0:
        low, high = -high, -low
    return f"[{_points(low)}, {_points(high)}]"


def _points(share: float) -> str:
    return "any number of" if math.isinf(share) else f"{100 * share:z.1f}"


def _seed_notes(one: Finding) -> str:
    """Return which seeds are not compared and why, and which of those that are come from a dead network."""
    notes = [f"{one.n} of {one.n_seeds} seeds"] if one.n < one.n_seeds else []
    for what, count in (("failed", _failed), ("not run", _missing), ("dead", _dead)):
        found = [f"{arm.name} {count(arm)}" for arm in one.arms if count(arm)]
        notes += [f"{what}: {', '.join(found)}"] if found else []
    return "; ".join(notes)


def _failed(arm: GroupSummary) -> int:
    return len(arm.failed)


def _missing(arm: GroupSummary) -> int:
    return arm.n_missing


def _dead(arm: GroupSummary) -> int:
    return len(arm.dead)
