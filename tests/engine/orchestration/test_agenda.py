import dataclasses

import pytest

from engine.orchestration.agenda import Agenda, suitable_n_trials
from engine.spaces import Space
from tests.engine.orchestration.spaces import SPACE


@pytest.mark.parametrize(
    ("n_trials", "arms", "proposals", "winner"),
    [(1, 1, 0, 0), (4, 4, 0, 0), (5, 4, 1, 0), (7, 4, 3, 0), (8, 4, 2, 2), (20, 4, 14, 2)],
)
def test_agenda_spends_exactly_the_trials(n_trials: int, arms: int, proposals: int, winner: int) -> None:
    agenda = Agenda(SPACE, n_trials, 0)
    assert (agenda.n_arm_trials, agenda.n_proposals, agenda.n_winner_trials) == (arms, proposals, winner)
    assert agenda.n_total == n_trials
    assert len(list(agenda.arms())) == arms
    assert len(list(agenda.proposals())) == proposals
    assert len(list(agenda.winner({"push_pull.h": 2.0}))) == winner


def test_arms_come_seed_by_seed_so_that_any_prefix_is_balanced() -> None:
    slots = list(Agenda(SPACE, 4, 7).arms())
    assert [slot.group for slot in slots] == ["plain", "push-pull"] * 2
    assert [slot.seed for slot in slots] == [SPACE.seeds(7)[0]] * 2 + [SPACE.seeds(7)[1]] * 2
    assert not any(slot.prunable for slot in slots)


def test_proposals_share_a_seed_that_no_comparison_uses_and_may_be_pruned() -> None:
    slots = list(Agenda(SPACE, 8, 7).proposals())
    (seed,) = {slot.seed for slot in slots}
    assert seed == SPACE.search_seed(7)
    assert seed not in {slot.seed for slot in (*Agenda(SPACE, 8, 7).arms(), *Agenda(SPACE, 8, 7).winner({}))}
    assert all(slot.prunable for slot in slots)


def test_slot_names_are_unique() -> None:
    agenda = Agenda(SPACE, 30, 0)
    names = [slot.name for slot in [*agenda.arms(), *agenda.proposals(), *agenda.winner({"a": 1})]]
    assert len(set(names)) == len(names) == 30


def test_a_space_of_arms_alone_has_no_proposals() -> None:
    only_arms = Space(name="ablation", base=SPACE.base, arms=SPACE.arms, n_seeds=2)
    assert Agenda(only_arms, 54, 0).n_total == 4


@pytest.mark.parametrize(("n_trials", "total", "proposals"), [(54, 11, 5), (10, 10, 4), (3, 3, 0)])
def test_a_small_grid_ends_the_proposals(n_trials: int, total: int, proposals: int) -> None:
    agenda = Agenda(SPACE, n_trials, 0, max_proposals=5)
    assert agenda.n_total == total
    assert agenda.n_proposals == len(list(agenda.proposals())) == proposals


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
    named = tuple(dataclasses.replace(SPACE.arms[0], name=f"arm {place}") for place in range(n_arms))
    space = dataclasses.replace(SPACE, arms=named, n_seeds=n_seeds)
    agenda = Agenda(space, suitable_n_trials(space, max_proposals), 0, max_proposals)
    assert (agenda.n_arm_trials, agenda.n_proposals, agenda.n_winner_trials) == (arms, proposals, winner)
    assert agenda.n_total == agenda.n_trials == arms + proposals + winner
    assert agenda.least_with_a_winner <= agenda.n_trials
    assert Agenda(space, agenda.least_with_a_winner, 0, max_proposals).n_winner_trials == n_seeds
    assert Agenda(space, agenda.least_with_a_winner - 1, 0, max_proposals).n_winner_trials == 0


def test_of_arms_alone_their_number_suits() -> None:
    space = Space(name="ablation", base=SPACE.base, arms=SPACE.arms, n_seeds=5)
    assert suitable_n_trials(space) == 10


def test_what_is_left_are_the_slots_that_are_not_done() -> None:
    agenda = Agenda(SPACE, 8, 0)
    assert [slot.name for slot in agenda.left({"arm/plain/0", "arm/plain/1", "proposal/1", "winner/x/0"})] == [
        "arm/push-pull/0",
        "arm/push-pull/1",
        "proposal/0",
    ]
