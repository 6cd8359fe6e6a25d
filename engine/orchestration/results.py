"""What a finished study says: trials as values, arms compared by seed, and the table that answers the question."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.corruption_kinds import by_kind
from engine.metrics import PairedDifference, mean_by_corruption, paired_difference
from engine.orchestration.reasons import Reason
from engine.spaces import Space
from engine.stages.evaluate import rows_to_table

CORRUPTED = "corrupted"

OBJECTIVES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "clean": lambda errors: errors["validation"]["clean"],
    CORRUPTED: lambda errors: errors["objective"],
}
"""What trials can be compared by, from an evaluation's record: errors on validation images, to be made small."""


@dataclass(frozen=True)
class TrialResult:
    """A trial as the study has it.

    Attributes:
        number: in the study.
        slot: what the trial was for.
        group: arm or "winner"; "" for a proposal.
        seed: the trial's.
        state: "COMPLETE", "PRUNED" or "FAIL".
        settings: {dotted path: value} over the space's base.
        objective: mean error on corrupted validation images; None unless complete.
        errors: the evaluation's record; None unless complete.
        reason: why it was pruned or failed; None for a complete one.
        stages: {stage: key}.
        values: {objective: value}, the corrupted error among them; empty unless complete.
        repeat_of: for a proposal that equals an earlier trial, that one's number.
    """

    number: int
    slot: str
    group: str
    seed: int
    state: str
    settings: Mapping[str, Any]
    objective: float | None
    errors: Mapping[str, Any] | None
    reason: Reason | None
    stages: Mapping[str, str]
    values: Mapping[str, float] = field(default_factory=dict)
    repeat_of: int | None = None

    def test_errors(self) -> dict[str, float]:
        """Return clean error and mean error by kind of corruption, over its corruptions and all severities.

        A kind of which only one corruption was tested is called by that one's name.
        """
        assert self.errors is not None
        by_corruption = mean_by_corruption(rows_to_table(self.errors["test"]["corrupted"]))
        errors = {"clean": self.errors["test"]["clean"]}
        for kind, names in by_kind(by_corruption).items():
            errors[kind if len(names) > 1 else names[0]] = statistics.fmean(by_corruption[name] for name in names)
        errors["all"] = statistics.fmean(by_corruption.values())
        return errors


@dataclass(frozen=True)
class GroupSummary:
    """An arm, or the winner, over its seeds.

    Attributes:
        name: of the group.
        trials: the complete ones, by seed.
        errors: {column: error of each seed}.
    """

    name: str
    trials: tuple[TrialResult, ...]
    errors: Mapping[str, tuple[float, ...]]

    def mean_and_std(self, column: str) -> tuple[float, float]:
        """Return mean and standard deviation over the seeds (0 for a single one)."""
        values = self.errors[column]
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Results:
    """All of a study's trials.

    Attributes:
        study: its name.
        space: what was explored.
        trials: the ended ones by number, without those that were interrupted.
        experiment: id of the MLflow experiment that has its runs; "" until it is known.
        objectives: what its trials are compared by.
    """

    study: str
    space: Space
    trials: tuple[TrialResult, ...]
    experiment: str = ""
    objectives: tuple[str, ...] = (CORRUPTED,)

    def groups(self) -> list[GroupSummary]:
        """Return the arms in their order, then the winner, each with at least one complete trial."""
        names = [arm.name for arm in self.space.arms] + ["winner"]
        best = self.best()
        summaries = []
        for name in names:
            newest: dict[int, TrialResult] = {}
            for trial in self.trials:
                displaced = name == "winner" and (best is None or trial.settings != best.settings)
                if trial.group == name and trial.state == "COMPLETE" and not displaced:
                    newest[trial.seed] = trial
            if newest:
                trials = tuple(newest[seed] for seed in sorted(newest))
                rows = [trial.test_errors() for trial in trials]
                summaries.append(
                    GroupSummary(name, trials, {column: tuple(row[column] for row in rows) for column in rows[0]})
                )
        return summaries

    def compare(self, group: GroupSummary, control: GroupSummary, column: str) -> PairedDifference | None:
        """Return a group's error less the control's, paired by seed; None without a common seed."""
        mine = dict(zip((trial.seed for trial in group.trials), group.errors[column], strict=True))
        theirs = dict(zip((trial.seed for trial in control.trials), control.errors[column], strict=True))
        seeds = [seed for seed in mine if seed in theirs]
        if not seeds:
            return None
        return paired_difference([mine[seed] for seed in seeds], [theirs[seed] for seed in seeds])

    def proposals(self) -> list[TrialResult]:
        """Return the complete proposals."""
        return [t for t in self.trials if t.slot.startswith("proposal/") and t.objective is not None]

    def best(self) -> TrialResult | None:
        """Return the proposal with the least corrupted error, or None.

        Several objectives break ties, so that it is a point of the front.
        """
        return min(
            self.proposals(), key=lambda trial: (trial.objective, *trial.values.values(), trial.number), default=None
        )

    def front(self) -> list[TrialResult]:
        """Return the proposals that no other one is better than in one objective without being worse in another.

        Least corrupted error first; of proposals with the same values the first one.
        """
        by_values = {tuple(trial.values.values()): trial for trial in reversed(self.proposals())}
        return [
            trial
            for values, trial in sorted(by_values.items(), key=lambda item: item[1].objective or 0.0)
            if not any(other != values and _no_worse(other, values) for other in by_values)
        ]

    def with_state(self, state: str) -> list[TrialResult]:
        """Return the trials in a state."""
        return [trial for trial in self.trials if trial.state == state]


def objective_values(errors: Mapping[str, Any], objectives: Sequence[str]) -> tuple[float, ...]:
    """Return an evaluation's value of each objective."""
    return tuple(OBJECTIVES[name](errors) for name in objectives)


def _no_worse(values: Sequence[float], others: Sequence[float]) -> bool:
    return all(mine <= theirs for mine, theirs in zip(values, others, strict=True))


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return settings in a line, without what cannot matter."""
    return ", ".join(
        f"{path}={value:g}" if isinstance(value, float) else f"{path}={value}" for path, value in settings.items()
    )


def columns_of(groups: Sequence[GroupSummary]) -> list[str]:
    """Return the error columns that the groups have."""
    return list(groups[0].errors) if groups else []
