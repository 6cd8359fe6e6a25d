"""Trials that differ by their seed alone: an arm's, or the winner's."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from engine.corruption_kinds import TUNED_ON
from engine.errors import unknown_name
from engine.report.trial_results import TrialResult


@dataclass(frozen=True, repr=False)
class GroupSummary:
    """An arm, or the winner, over its seeds.

    Attributes:
        name: of the group.
        trials: the complete ones, by seed.
        errors: {column: error of each of them}: "clean", each kind of corruption and each corruption that was tested,
            "all", and "tuned on", the distortion of its own fine-tuning, where there is one.
        failed: the trials that failed, by seed.
        n_seeds: how many seeds it is to be computed on.
    """

    name: str
    trials: tuple[TrialResult, ...]
    errors: Mapping[str, tuple[float, ...]]
    failed: tuple[TrialResult, ...] = ()
    n_seeds: int = 0

    def __repr__(self) -> str:
        return f"GroupSummary({self.name!r}, {self.count})"

    @property
    def count(self) -> str:
        """Return how many of the seeds are complete, and how many networks of these are dead: "5 of 6, 1 dead"."""
        dead = f", {len(self.dead)} dead" if self.dead else ""
        return f"{len(self.trials)} of {self.n_seeds}{dead}"

    @property
    def dead(self) -> tuple[TrialResult, ...]:
        """Return the complete trials whose network answers every image alike."""
        return tuple(trial for trial in self.trials if trial.dead)

    @property
    def n_incomplete(self) -> int:
        """Return how many seeds are not in the means."""
        return self.n_seeds - len(self.trials)

    @property
    def n_missing(self) -> int:
        """Return how many seeds have not been run."""
        return max(0, self.n_seeds - len(self.trials) - len(self.failed))

    def values(self, column: str) -> tuple[float, ...]:
        """Return the error of each seed by column, none where no trial is complete.

        Raises:
            InputError: there is no such column.
        """
        if self.trials and column not in self.errors:
            raise unknown_name("column", column, self.errors)
        return self.errors.get(column, ())

    def mean_and_std(self, column: str) -> tuple[float, float]:
        """Return mean and standard deviation over the seeds; NaN where there are too few of them.

        Raises:
            InputError: there is no such column.
        """
        values = self.values(column)
        return (
            statistics.fmean(values) if values else math.nan,
            statistics.stdev(values) if len(values) > 1 else math.nan,
        )


def summarise(name: str, trials: Iterable[TrialResult], n_seeds: int, corruptions: Collection[str]) -> GroupSummary:
    """Return a group's summary.

    Args:
        name: of the group.
        trials: its ended ones, oldest first; of several on a seed the newest complete one counts.
        n_seeds: how many seeds it is to be computed on.
        corruptions: those that its errors are over.
    """
    complete: dict[int, TrialResult] = {}
    failed: dict[int, TrialResult] = {}
    for trial in trials:
        (complete if trial.state == "COMPLETE" else failed)[trial.seed] = trial
    found = tuple(complete[seed] for seed in sorted(complete))
    rows = [trial.errors_over(corruptions) for trial in found]
    columns = [column for column in (rows[0] if rows else ()) if all(column in row for row in rows)]
    return GroupSummary(
        name,
        found,
        {column: tuple(row[column] for row in rows) for column in columns},
        tuple(failed[seed] for seed in sorted(failed) if seed not in complete),
        max(n_seeds, len({*complete, *failed})),
    )


def has_tuned(groups: Iterable[GroupSummary]) -> bool:
    """Return whether some group was tested on the distortion of its own fine-tuning."""
    return any(TUNED_ON in group.errors for group in groups)
