"""Which trials a sweep consists of: the arms, the proposals, and the winner on the arms' seeds.

Each has a name that says what it is for ("arm/plain/0", "proposal/17", "winner/plain…/3"), which the study keeps as the
user attribute ``slot``. Each is run once: a sweep that is resumed runs those that are left. Nothing here knows Optuna.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.digest import digest
from engine.spaces import Space

Purpose = Literal["arm", "proposal", "winner"]

N_PROPOSALS = 10
"""Proposals of a sweep whose number of trials is not given."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that is to be run.

    Attributes:
        purpose: what the trial is for.
        name: says what it is for, unique in the sweep.
        seed: the trial's seed.
        group: the arm's name, or "winner"; what is averaged over seeds. "" for a proposal.
        repeat: which of the seeds.
        settings: {dotted path: value}; None where the search proposes them.
    """

    purpose: Purpose
    name: str
    seed: int
    group: str = ""
    repeat: int = 0
    settings: Mapping[str, Any] | None = None

    @property
    def prunable(self) -> bool:
        """Return whether the trial may be stopped early: arms and the winner's repeats never are."""
        return self.purpose == "proposal"


def suitable_n_trials(space: Space, max_proposals: int | None = None) -> int:
    """Return how many trials suit a space: the arms on every seed, proposals, and always the winner's repeats.

    Args:
        space: what is explored.
        max_proposals: how many proposals there are to be had, if that is known: all of them are made. Else there are
            ``N_PROPOSALS``, or as many as there are repeats, which is the least that a winner is computed again for.
    """
    n_arms = len(space.arms) * space.n_seeds
    if not space.axes:
        return n_arms
    n_proposals = max(N_PROPOSALS, space.n_seeds) if max_proposals is None else max_proposals
    return n_arms + n_proposals + space.n_seeds


@dataclass(frozen=True)
class PlannedTrials:
    """How a number of trials is spent.

    ``n_trials`` is exact: the arms come first, seed by seed, so that any number of them compares like with like; what
    is left goes to proposals, less one trial a seed to compute the winner on the arms' seeds. Where that would leave
    fewer proposals than repeats, and more proposals are to be had, there is no such check.

    Attributes:
        space: what is explored.
        n_trials: how many trials there may be.
        study_seed: the seed that the repeats' are derived from.
        max_proposals: how many proposals there are to be had (the points of a grid, of a small space); None for any
            number.
    """

    space: Space
    n_trials: int
    study_seed: int
    max_proposals: int | None = None

    @property
    def n_arm_trials(self) -> int:
        """Return how many trials go to the arms."""
        return min(self.n_trials, len(self.space.arms) * self.space.n_seeds)

    @property
    def n_winner_trials(self) -> int:
        """Return how many trials compute the winner again."""
        left = self.n_trials - len(self.space.arms) * self.space.n_seeds
        return self.space.n_seeds if self.space.axes and left >= self._least_for_a_winner else 0

    @property
    def _least_for_a_winner(self) -> int:
        n_seeds = self.space.n_seeds
        return n_seeds + (n_seeds if self.max_proposals is None else min(n_seeds, self.max_proposals))

    @property
    def least_with_a_winner(self) -> int:
        """Return the least number of trials of which some compute the winner again."""
        return len(self.space.arms) * self.space.n_seeds + self._least_for_a_winner

    @property
    def n_proposals(self) -> int:
        """Return how many trials the search proposes."""
        left = self.n_trials - self.n_arm_trials - self.n_winner_trials
        most = left if self.max_proposals is None else self.max_proposals
        return min(left, most) if self.space.axes else 0

    @property
    def n_total(self) -> int:
        """Return the number of trials: ``n_trials``, or fewer in a space of arms only, or of a small grid."""
        return self.n_arm_trials + self.n_proposals + self.n_winner_trials

    def arms(self) -> Iterator[PlannedTrial]:
        """Yield the arms' trials, seed by seed."""
        seeds = self.space.seeds(self.study_seed)
        trials = (
            PlannedTrial("arm", f"arm/{arm.name}/{repeat}", seed, arm.name, repeat, dict(arm.settings))
            for repeat, seed in enumerate(seeds)
            for arm in self.space.arms
        )
        for _, trial in zip(range(self.n_arm_trials), trials, strict=False):
            yield trial

    def proposals(self) -> Iterator[PlannedTrial]:
        """Yield the proposals' trials.

        All have one seed, by which they share pretrainings; no arm and no repeat of the winner has it. Whatever is the
        best of many on a seed owes that in part to the seed, and would look too good beside others on it.
        """
        seed = self.space.search_seed(self.study_seed)
        for index in range(self.n_proposals):
            yield PlannedTrial("proposal", f"proposal/{index}", seed)

    def left(self, done: Collection[str]) -> list[PlannedTrial]:
        """Return the trials of arms and proposals that are not among those which are done, by name."""
        return [trial for trial in (*self.arms(), *self.proposals()) if trial.name not in done]

    def winner(self, settings: Mapping[str, Any]) -> Iterator[PlannedTrial]:
        """Yield the trials of the winner's settings, one a seed."""
        name = digest(dict(settings))[:8]
        for repeat, seed in enumerate(self.space.seeds(self.study_seed)[: self.n_winner_trials]):
            yield PlannedTrial("winner", f"winner/{name}/{repeat}", seed, "winner", repeat, dict(settings))
