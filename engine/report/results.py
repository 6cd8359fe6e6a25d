"""What a finished study says: trials as values, arms compared by seed, and the table that answers the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.corruption_kinds import TUNED_ON
from engine.explanation import as_typed
from engine.metrics import PairedDifference, paired_difference
from engine.metrics.table import ErrorTable
from engine.report.columns import errors_by_column
from engine.report.groups import GroupSummary, summarise
from engine.report.measurement import Yardstick, recorded_yardstick
from engine.report.reasons import Reason
from engine.spaces import Space
from engine.spaces.space import WINNER
from engine.stages.budget import NoisyBudget
from engine.stages.evaluate import rows_to_table

CORRUPTED = "corrupted"
DEAD_SHARE = 0.95
"""A network is dead that has one answer for so many of the images, while no more than half of them are of one class."""
DEAD_ERROR = 0.5
"""One that answers every image alike errs at least so often, unless most images are of one class."""

OBJECTIVES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "clean": lambda errors: errors["validation"]["clean"],
    CORRUPTED: lambda errors: errors["objective"],
}
"""What trials can be compared by, from an evaluation's record: errors on validation images, to be made small."""


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        value = self.reason if self.objective is None else f"objective {self.objective:.4f}"
        return f"TrialResult({self.number}, {self.slot!r}, {self.state}: {value})"

    @property
    def table(self) -> ErrorTable:
        """Return the test errors by (corruption, severity); empty unless complete."""
        return {} if self.errors is None else rows_to_table(self.errors["test"]["corrupted"])

    @property
    def dead(self) -> bool:
        """Return whether the network answers every image alike, or nearly."""
        if self.errors is None:
            return False
        test = self.errors["test"]
        if "most_answered" in test:
            answered, labelled = test["most_answered"], test["most_labelled"]
            return labelled < answered == 1 or (answered >= DEAD_SHARE and labelled <= 0.5)
        cells = self.table.values()  # an older record does not say: then whatever the images suffer, its error is one
        return test["clean"] >= DEAD_ERROR and len(cells) > 1 and set(cells) == {test["clean"]}

    @property
    def noisy_budget(self) -> NoisyBudget | None:
        """Return the labelled noisy images that it was tuned or trained on and its epoch chosen by, if there were any.

        Studies of an older version do not say; their fine-tuning chose by all noisy validation images.
        """
        noted = (self.errors or {}).get("labelled_noisy")
        return None if noted is None else NoisyBudget.from_json(noted)

    def test_errors(self) -> dict[str, float]:
        """Return the error on test images by "clean", each kind of corruption, each corruption, and "all", over all
        severities, and "tuned on", the distortion that filters were tuned on, where there is one.
        """
        return self.errors_over({name for name, _ in self.table})

    def errors_over(self, corruptions: Collection[str]) -> dict[str, float]:
        """Return ``test_errors`` over some of the corruptions alone."""
        assert self.errors is not None
        table = {cell: error for cell, error in self.table.items() if cell[0] in corruptions}
        tuned = self.errors["test"].get("tuned_distortion")
        return errors_by_column(table, self.errors["test"]["clean"]) | ({} if tuned is None else {TUNED_ON: tuned})


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        states = Counter(trial.state for trial in self.trials)
        counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
        groups = ", ".join(f"{group.name} {group.count}" for group in self.groups())
        return f"Results(study {self.study!r}, {len(self.trials)} trials: {counts}; seeds: {groups or 'none'})"

    def groups(self) -> list[GroupSummary]:
        """Return the arms in their order, then the winner once it is computed; none before a trial has ended.

        All errors are over the corruptions of ``tested``.
        """
        if not self.trials:
            return []
        by_name = self._by_group()
        tested = self.tested
        return [summarise(name, trials, self.space.n_seeds, tested) for name, trials in by_name.items()]

    @property
    def tested(self) -> list[str]:
        """Return the corruptions that all trials of the groups were tested on, at the same severities."""
        return _tested_alike(self._complete_of_groups())

    @property
    def left_out(self) -> dict[str, int]:
        """Return {corruption: number of the groups' trials that were tested on it} of those that only some were."""
        complete = self._complete_of_groups()
        counts = Counter(name for trial in complete for name in {name for name, _ in trial.table})
        tested = set(_tested_alike(complete))
        return {name: count for name, count in counts.items() if name not in tested}

    @property
    def yardsticks(self) -> list[Yardstick]:
        """Return what the complete trials were compared by and tested on: one for all, unless a study is mixed."""
        found: list[Yardstick] = []
        for trial in reversed(self.trials):  # an older version's records say less
            if trial.errors is not None:
                yardstick = recorded_yardstick(trial.errors)
                if not any(yardstick.agrees(other) for other in found):
                    found.append(yardstick)
        return found

    @property
    def displaced(self) -> list[TrialResult]:
        """Return the repeats of proposals that a better one has displaced: no group has them."""
        shown = {trial.number for trials in self._by_group().values() for trial in trials}
        return [trial for trial in self.trials if trial.group == WINNER and trial.number not in shown]

    def _complete_of_groups(self) -> list[TrialResult]:
        return [trial for trials in self._by_group().values() for trial in trials if trial.errors is not None]

    def _by_group(self) -> dict[str, list[TrialResult]]:
        """Return {group: its ended trials}; repeats of a proposal that a better one has displaced are no group's."""
        groups: dict[str, list[TrialResult]] = {arm.name: [] for arm in self.space.arms}
        best = self.best()
        for trial in self.trials:
            if trial.group == WINNER:
                if best is not None and trial.settings == best.settings:
                    groups.setdefault(WINNER, []).append(trial)
            elif trial.group in groups:
                groups[trial.group].append(trial)
        return groups

    def compare(self, group: GroupSummary, control: GroupSummary, column: str) -> PairedDifference | None:
        """Return a group's error less the control's, paired by seed; None without a common seed.

        Raises:
            InputError: a group has no such column.
        """
        mine = dict(zip((trial.seed for trial in group.trials), group.values(column), strict=False))
        theirs = dict(zip((trial.seed for trial in control.trials), control.values(column), strict=False))
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
    """Return settings in a line, as a person types them."""
    return ", ".join(f"{path}={as_typed(value)}" for path, value in settings.items())


def budget_note(trials: Iterable[TrialResult]) -> str:
    """Return what follows the settings of trials that differ in their seed alone: "; N labelled noisy images …"."""
    budgets = dict.fromkeys(trial.noisy_budget for trial in trials if trial.noisy_budget is not None)
    return "".join(f"; {budget}" for budget in budgets)


def _tested_alike(trials: Sequence[TrialResult]) -> list[str]:
    """Return the corruptions that all of some trials were tested on, at the same severities."""
    found: list[dict[str, set[int]]] = []
    for trial in trials:
        severities: dict[str, set[int]] = {}
        for name, severity in trial.table:
            severities.setdefault(name, set()).add(severity)
        found.append(severities)
    return [name for name in (found[0] if found else ()) if all(other.get(name) == found[0][name] for other in found)]
