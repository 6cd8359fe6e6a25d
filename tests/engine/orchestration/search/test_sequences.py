import itertools

import optuna
import pytest

from engine.orchestration.search.distributions import distribution
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.repeats import Identities
from engine.orchestration.search.sequences import ProposalSequence, make_sequence, sobol_settings, value_at_share
from engine.seeds import derive_seed
from engine.spaces import Arm, Choice, Float, Int, Space, draw_settings
from engine.spaces.axes import nearest_value
from tests.engine.orchestration.spaces import INHIBITED, SPACE, TINY

SMALL = Space(
    name="small",
    base=TINY,
    axes=(
        Choice("push_pull.where", ("none", "first")),
        Choice("push_pull.h", (1.5, 2.0, 3.0), when={"push_pull.where": ("first",)}),
    ),
    arms=(Arm("plain", {"push_pull.where": "none"}),),
    n_seeds=2,
)
"""Four configurations, one of them an arm's."""


def as_set(settings: dict) -> frozenset:
    return frozenset(settings.items())


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_draws_are_distinct_and_may_be_an_arms_which_has_other_seeds(name: str) -> None:
    sequence = make_sequence(name, PlannedTrials(SMALL, 20, 0), Identities(SMALL))
    drawn = {as_set(sequence[index]) for index in range(4)}
    assert len(drawn) == 4
    assert as_set({"push_pull.where": "none"}) in drawn


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_an_exhausted_space_gives_repeats_rather_than_nothing(name: str) -> None:
    sequence = make_sequence(name, PlannedTrials(SMALL, 20, 0), Identities(SMALL))
    assert len({as_set(sequence[index]) for index in range(8)}) <= 4


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_a_draw_depends_on_seed_and_index_alone(name: str) -> None:
    planned = PlannedTrials(SPACE, 30, 3)
    in_order = make_sequence(name, planned, Identities(SPACE))
    backwards = make_sequence(name, planned, Identities(SPACE))
    assert [backwards[index] for index in (5, 0, 2)] == [in_order[index] for index in (5, 0, 2)]
    other = make_sequence(name, PlannedTrials(SPACE, 30, 4), Identities(SPACE))
    assert [other[index] for index in range(6)] != [in_order[index] for index in range(6)]


def test_random_draws_are_the_spaces_own_where_none_repeats() -> None:
    axes = (Float("push_pull.alpha", 0.1, 2.0),)
    space = Space(name="continuous", base=INHIBITED, axes=axes)
    sequence = make_sequence("random", PlannedTrials(space, 30, 3), Identities(space))
    assert [sequence[index] for index in range(5)] == [draw_settings(space, seed=3, index=index) for index in range(5)]


def test_a_grids_first_points_are_a_subset_fixed_by_the_seed_and_all_of_it_is_the_grid() -> None:
    sequence = make_sequence("grid", PlannedTrials(SMALL, 20, 1, 4), Identities(SMALL))
    again = make_sequence("grid", PlannedTrials(SMALL, 3, 1, 4), Identities(SMALL))
    assert [again[0], again[1]] == [sequence[0], sequence[1]]
    assert len({as_set(sequence[index]) for index in range(4)}) == 4


def test_sobol_points_fill_a_range_evenly() -> None:
    space = Space(
        name="even", base=INHIBITED, axes=(Float("push_pull.alpha", 0.0, 1.0), Choice("push_pull.h", (1.5, 2.0)))
    )
    points = list(itertools.islice(sobol_settings(space, seed=0), 16))
    # 16 points of a scrambled Sobol sequence: one in each sixteenth of every axis
    assert sorted(int(16 * point["push_pull.alpha"]) for point in points) == list(range(16))
    assert sorted(point["push_pull.h"] for point in points) == [1.5] * 8 + [2.0] * 8


def test_a_repeat_is_taken_once_the_attempts_are_used_up() -> None:
    asked = []

    def candidate(index: int, attempt: int) -> dict:
        asked.append((index, attempt))
        return {"attempt": attempt}

    sequence = ProposalSequence(candidate, identity=lambda settings: "all are one", max_draws=3)
    assert sequence[1] == {"attempt": 0}
    assert asked == [(0, 0), (1, 0), (1, 1), (1, 2)]


RANGES = Space(
    name="ranges",
    base=INHIBITED.with_settings({"finetune.which": "most"}),
    axes=(
        Float("push_pull.alpha", 0.0, 2.0),
        Float("pretrain.learning_rate", 1e-4, 1.0, log=True),
        Float("finetune.fraction", 0.05, 0.95, step=0.15),
        Int("pretrain.batch_size", 8, 200, log=True),
        Int("distortion.n_images", 4, 20, step=2),
        Choice("push_pull.h", (1.5, 2.0, 3.0)),
    ),
)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("seed", [0, 7])
def test_sobol_points_are_those_that_optuna_takes_from_scipy(seed: int) -> None:
    sampler = optuna.samplers.QMCSampler(
        qmc_type="sobol", scramble=True, seed=derive_seed(seed, "qmc") % 2**32, warn_independent_sampling=False
    )
    study = optuna.create_study(sampler=sampler)
    distributions = {axis.label: distribution(axis) for axis in RANGES.axes}
    first = {axis.label: axis.extremes()[0] for axis in RANGES.axes}
    study.add_trial(optuna.trial.create_trial(params=first, distributions=distributions, value=0.0))
    for settings in itertools.islice(sobol_settings(RANGES, seed=seed), 200):
        theirs = study.ask(distributions).params
        assert settings == {axis.setting: nearest_value(axis, theirs[axis.label]) for axis in RANGES.axes}


def test_a_share_of_a_logarithmic_range_is_one_of_its_logarithm() -> None:
    rate = Float("pretrain.learning_rate", 1e-4, 1.0, log=True)
    assert value_at_share(rate, 0.5) == pytest.approx(1e-2, rel=1e-12)
    assert value_at_share(Choice("push_pull.h", (1.5, 2.0, 3.0)), 0.999) == 3.0
    whole = Int("pretrain.epochs", 1, 4)
    assert [value_at_share(whole, share) for share in (0.0, 0.24, 0.26, 0.99)] == [1, 1, 2, 4]
