"""A study's trials together: by group, by seed, the best ones, and what they were measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import unknown_name
from engine.metrics import PairedDifference, paired_difference
from engine.report.groups import GroupSummary, summarise
from engine.report.measurement import Measurement, recorded_measurement
from engine.report.trial_results import CORRUPTED, TrialResult
from engine.spaces import Space
from engine.spaces.arms import WINNER


@dataclass(frozen=True)
class Importances:
    """How much each setting matters in a search.

    Attributes:
        n: complete proposals that say so; arms and repeats have no part in it.
        shares: {objective: {setting: its share, all of them together 1}}, the greatest first.
    """

    n: int
    shares: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, repr=False)
class Results:
    """All of a study's trials.

    Attributes:
        study: its name.
        space: what was explored.
        trials: the ended ones by number, without those that were interrupted.
        experiment: id of the MLflow experiment that has its runs; "" until it is known.
        objectives: what its trials are compared by.
        is_running: whether a driver is at work on it.
        command: the sweep's, by which its last driver was started; "" if it is not known.
        importances: of the settings in the search; None where they are too few, or nobody has asked.
    """

    study: str
    space: Space
    trials: tuple[TrialResult, ...]
    experiment: str = ""
    objectives: tuple[str, ...] = (CORRUPTED,)
    is_running: bool = False
    command: str = ""
    importances: Importances | None = None

    def __repr__(self) -> str:
        states = Counter(trial.state for trial in self.trials)
        counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
        groups = ", ".join(f"{name} {n} of {n_seeds}" for name, n, n_seeds in self._seeds_by_group())
        return f"Results(study {self.study!r}, {len(self.trials)} trials: {counts}; seeds: {groups or 'none'})"

    def _seeds_by_group(self) -> Iterator[tuple[str, int, int]]:
        """Yield each group with how many of its seeds are complete, and of how many; no errors are looked at."""
        for name, trials in self._by_group().items() if self.trials else ():
            seeds = {trial.seed for trial in trials}
            complete = {trial.seed for trial in trials if trial.state == "COMPLETE"}
            yield name, len(complete), max(self.space.n_seeds, len(seeds))

    def groups(self) -> list[GroupSummary]:
        """Return the arms in their order, then the winner once it is computed; none before a trial has ended.

        All errors are over the corruptions of ``tested``.
        """
        if not self.trials:
            return []
        by_name = self._by_group()
        tested = self.tested
        return [summarise(name, trials, self.space.n_seeds, tested) for name, trials in by_name.items()]

    def group(self, name: str) -> GroupSummary:
        """Return one of ``groups``, for less work than all of them take.

        Raises:
            InputError: there is no such group.
        """
        by_name = self._by_group() if self.trials else {}
        if name not in by_name:
            raise unknown_name("group", name, by_name)
        return summarise(name, by_name[name], self.space.n_seeds, self.tested)

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
    def measurements(self) -> list[Measurement]:
        """Return what the complete trials were compared by and tested on: one for all, unless a study is mixed."""
        found: list[Measurement] = []
        for trial in reversed(self.trials):  # an older version's records say less
            if trial.errors is not None:
                measurement = recorded_measurement(trial.errors)
                if not any(measurement.agrees(other) for other in found):
                    found.append(measurement)
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


def _no_worse(values: Sequence[float], others: Sequence[float]) -> bool:
    return all(mine <= theirs for mine, theirs in zip(values, others, strict=True))


def _tested_alike(trials: Sequence[TrialResult]) -> list[str]:
    """Return the corruptions that all of some trials were tested on, at the same severities."""
    found: list[dict[str, set[int]]] = []
    for trial in trials:
        severities: dict[str, set[int]] = {}
        for name, severity in trial.table:
            severities.setdefault(name, set()).add(severity)
        found.append(severities)
    return [name for name in (found[0] if found else ()) if all(other.get(name) == found[0][name] for other in found)]
