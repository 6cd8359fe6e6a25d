"""How often the answer calls a winner better where nothing is, by simulation, beside what its intervals promise."""

import statistics
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from engine.metrics import paired_difference
from engine.orchestration.search.planned_trials import PlannedTrial, PlannedTrials
from search_spaces.push_pull import SPACE

N_STUDIES = 6000
NOMINAL = 0.025
"""Of the 95 % intervals of equal things so many lie wholly below 0, and as many above."""
MARGIN = 3 * (NOMINAL * (1 - NOMINAL) / N_STUDIES) ** 0.5


class OnAComparisonSeed(PlannedTrials):
    """The planned of old: proposals ran on the first of the seeds that arms and winner are compared on."""

    def proposals(self) -> Iterator[PlannedTrial]:
        for trial in super().proposals():
            yield PlannedTrial(trial.purpose, trial.name, self.space.seeds(self.study_seed)[0])


def share_of_better_winners(kind: type[PlannedTrials], *, pruned_by_arms: bool = False) -> float:
    """Return in how many of the simulated studies the winner is "better *" than the control.

    No setting changes anything: an error is its seed's, and noise of its own. What selects is what is reported, as if
    validation and test images were the same: worse than any sweep.
    """
    n_better = 0
    for study_seed in range(N_STUDIES):
        noise = np.random.default_rng(study_seed)
        of_seed: dict[int, float] = defaultdict(noise.standard_normal)
        of_trial: dict[tuple[str, int], float] = defaultdict(noise.standard_normal)

        def error(settings: str, seed: int, own=of_trial, shared=of_seed) -> float:
            return own[settings, seed] + shared[seed]

        planned = kind(SPACE, 34, study_seed)
        arms = {(trial.group, trial.repeat): error(trial.group, trial.seed) for trial in planned.arms()}
        proposals = {trial.name: error(trial.name, trial.seed) for trial in planned.proposals()}
        if pruned_by_arms:
            bar = statistics.median(arms.values())
            proposals = {name: value for name, value in proposals.items() if value <= bar}
        if not proposals:
            continue
        best = min(proposals, key=lambda name: proposals[name])
        winner = [error(best, trial.seed) for trial in planned.winner({"name": best})]
        control = [arms["plain", repeat] for repeat in range(SPACE.n_seeds)]
        n_better += paired_difference(winner, control).high < 0
    return n_better / N_STUDIES


def test_a_winner_that_is_no_better_is_called_better_as_often_as_the_intervals_say() -> None:
    assert share_of_better_winners(PlannedTrials) == pytest.approx(NOMINAL, abs=MARGIN)


def test_that_proposals_are_stopped_by_the_arms_epochs_changes_nothing() -> None:
    assert share_of_better_winners(PlannedTrials, pruned_by_arms=True) <= NOMINAL + MARGIN


def test_on_a_seed_of_the_comparison_it_would_be_called_so_too_often() -> None:
    assert share_of_better_winners(OnAComparisonSeed) > NOMINAL + 2 * MARGIN
