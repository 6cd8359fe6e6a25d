import dataclasses

import pytest

from engine.orchestration.search.planned_trials import PlannedTrials, suitable_n_trials
from engine.spaces import Arm, Space
from tests.engine.orchestration.spaces import SPACE


@pytest.mark.parametrize(
    ("n_trials", "arms", "proposals", "winner"),
    [(1, 1, 0, 0), (4, 4, 0, 0), (5, 4, 1, 0), (7, 4, 3, 0), (8, 4, 2, 2), (20, 4, 14, 2)],
)
def test_a_plan_spends_exactly_the_trials(n_trials: int, arms: int, proposals: int, winner: int) -> None:
    planned = PlannedTrials(SPACE, n_trials, 0)
    assert (planned.n_arm_trials, planned.n_proposals, planned.n_winner_trials) == (arms, proposals, winner)
    assert planned.n_total == n_trials
    assert len(list(planned.arms())) == arms
    assert len(list(planned.proposals())) == proposals
    assert len(list(planned.winner({"push_pull.h": 2.0}))) == winner


def test_arms_come_seed_by_seed_so_that_any_prefix_is_balanced() -> None:
    trials = list(PlannedTrials(SPACE, 4, 7).arms())
    assert [trial.group for trial in trials] == ["plain", "push-pull"] * 2
    assert [trial.seed for trial in trials] == [SPACE.seeds(7)[0]] * 2 + [SPACE.seeds(7)[1]] * 2
    assert not any(trial.prunable for trial in trials)


def test_proposals_share_a_seed_that_no_comparison_uses_and_may_be_pruned() -> None:
    trials = list(PlannedTrials(SPACE, 8, 7).proposals())
    (seed,) = {trial.seed for trial in trials}
    assert seed == SPACE.search_seed(7)
    assert seed not in {
        trial.seed for trial in (*PlannedTrials(SPACE, 8, 7).arms(), *PlannedTrials(SPACE, 8, 7).winner({}))
    }
    assert all(trial.prunable for trial in trials)


def test_slot_names_are_unique() -> None:
    planned = PlannedTrials(SPACE, 30, 0)
    names = [trial.name for trial in [*planned.arms(), *planned.proposals(), *planned.winner({"a": 1})]]
    assert len(set(names)) == len(names) == 30


def test_a_space_of_arms_alone_has_no_proposals() -> None:
    only_arms = Space(name="ablation", base=SPACE.base, arms=SPACE.arms, n_seeds=2)
    assert PlannedTrials(only_arms, 54, 0).n_total == 4


@pytest.mark.parametrize(("n_trials", "total", "proposals"), [(54, 11, 5), (10, 10, 4), (3, 3, 0)])
def test_a_small_grid_ends_the_proposals(n_trials: int, total: int, proposals: int) -> None:
    planned = PlannedTrials(SPACE, n_trials, 0, max_proposals=5)
    assert planned.n_total == total
    assert planned.n_proposals == len(list(planned.proposals())) == proposals


@pytest.mark.parametrize(
    ("n_arms", "n_seeds", "max_proposals", "arms", "proposals", "winner"),
    [
        (3, 6, None, 18, 10, 6),
        (2, 20, None, 40, 20, 20),
        (0, 1, None, 0, 10, 1),
        (2, 6, 4, 12, 4, 6),
        (2, 2, 300, 4, 300, 2),
    ],
)
def test_what_suits_a_space_has_all_arms_and_the_winners_repeats(
    n_arms: int, n_seeds: int, max_proposals: int | None, arms: int, proposals: int, winner: int
) -> None:
    named = tuple(Arm(f"arm {place}", {"pretrain.epochs": 1 + place}) for place in range(n_arms))
    space = dataclasses.replace(SPACE, arms=named, n_seeds=n_seeds)
    planned = PlannedTrials(space, suitable_n_trials(space, max_proposals), 0, max_proposals)
    assert (planned.n_arm_trials, planned.n_proposals, planned.n_winner_trials) == (arms, proposals, winner)
    assert planned.n_total == planned.n_trials == arms + proposals + winner
    assert planned.least_with_a_winner <= planned.n_trials
    assert PlannedTrials(space, planned.least_with_a_winner, 0, max_proposals).n_winner_trials == n_seeds
    assert PlannedTrials(space, planned.least_with_a_winner - 1, 0, max_proposals).n_winner_trials == 0


def test_of_arms_alone_their_number_suits() -> None:
    space = Space(name="ablation", base=SPACE.base, arms=SPACE.arms, n_seeds=5)
    assert suitable_n_trials(space) == 10


def test_what_is_left_are_the_slots_that_are_not_done() -> None:
    planned = PlannedTrials(SPACE, 8, 0)
    assert [trial.name for trial in planned.left({"arm/plain/0", "arm/plain/1", "proposal/1", "winner/x/0"})] == [
        "arm/push-pull/0",
        "arm/push-pull/1",
        "proposal/0",
    ]
