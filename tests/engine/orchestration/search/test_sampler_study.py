import optuna
import pytest
from optuna.trial import TrialState

from engine.orchestration.search.distributions import distribution
from engine.orchestration.search.sampler_study import MEMORY, SamplerStudy
from engine.orchestration.search.samplers import SAMPLERS
from engine.spaces import Choice, Float, Space
from tests.engine.orchestration.spaces import TINY

SPACE = Space(
    name="asked",
    base=TINY,
    axes=(
        Choice("push_pull.where", ("none", "first")),
        Float("push_pull.alpha", 0.0, 1.0, when={"push_pull.where": ("first",)}),
    ),
)
ASKED = [name for name, kind in SAMPLERS.items() if kind.source == "asked"]


def make_sampler_study(sampler: str, *, n_objectives: int = 1) -> SamplerStudy:
    return SamplerStudy(SPACE, sampler, seed=0, n_proposals=30, n_objectives=n_objectives)


def trial_of(params: dict, **changes) -> optuna.trial.FrozenTrial:
    distributions = {axis.label: distribution(axis) for axis in SPACE.axes if axis.label in params}
    trial = optuna.trial.create_trial(params=params, distributions=distributions, **changes)
    trial.number = 100
    return trial


def trials_of(study: SamplerStudy) -> list[optuna.trial.FrozenTrial]:
    return study._study.get_trials()


@pytest.mark.parametrize("sampler", ASKED)
def test_proposals_hold_the_conditions(sampler: str) -> None:
    study = make_sampler_study(sampler)
    for _ in range(8):
        settings = study.propose().settings
        assert ("push_pull.alpha" in settings) == (settings["push_pull.where"] == "first")


@pytest.mark.parametrize("sampler", ASKED)
def test_a_refused_proposal_failed_and_an_accepted_one_ends_like_its_trial(sampler: str) -> None:
    study = make_sampler_study(sampler)
    refused, accepted, pruned = study.propose(), study.propose(), study.propose()
    study.refuse([refused])
    study.accept(accepted, 7)
    study.accept(pruned, 8)
    assert [trial.state for trial in trials_of(study)] == [TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING]
    complete = trial_of({}, value=0.25, intermediate_values={1: 0.5, 2: 0.3})
    complete.number = 7
    study.end(complete)
    stopped = trial_of({}, state=TrialState.PRUNED, intermediate_values={1: 0.9})
    stopped.number = 8
    study.end(stopped)
    first, second, third = trials_of(study)
    assert (first.state, second.state, third.state) == (TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED)
    assert second.value == 0.25
    assert second.intermediate_values == {1: 0.5, 2: 0.3}
    assert third.intermediate_values == {1: 0.9}


def test_live_trials_that_were_not_proposed_are_seen_and_end() -> None:
    study = make_sampler_study("tpe")
    trial = trial_of({"push_pull.where": "none"}, state=TrialState.RUNNING)
    study.add(trial)
    (live,) = trials_of(study)
    assert (live.state, live.params) == (TrialState.RUNNING, {"push_pull.where": "none"})
    study.end(trial_of({"push_pull.where": "none"}, value=0.5))
    assert trials_of(study)[0].value == 0.5


def test_a_sampler_that_needs_every_axis_leaves_out_trials_that_lack_some() -> None:
    partial, whole = {"push_pull.where": "none"}, {"push_pull.where": "first", "push_pull.alpha": 0.5}
    for params, known in ((partial, 0), (whole, 1)):
        study = make_sampler_study("gp")
        study.add(trial_of(params, value=0.5))
        study.end(trial_of(params, value=0.5))  # of one that it does not know it hears nothing
        assert len(trials_of(study)) == known


def test_failed_trials_teach_nothing() -> None:
    study = make_sampler_study("tpe")
    study.add(trial_of({"push_pull.where": "none"}, state=TrialState.FAIL))
    assert trials_of(study) == []


@pytest.mark.parametrize("sampler", ["cma-es", "nsga-ii", "gp"])
def test_memory_brings_a_trial_back_with_every_axis_and_the_samplers_notes(sampler: str) -> None:
    study = make_sampler_study(sampler)
    for number in range(12):
        draft = study.propose()
        study.accept(draft, number)
        ended = trial_of({}, value=number / 12)
        ended.number = number
        study.end(ended)
    memory = study.propose().memory
    assert set(memory["parameters"]) == {"push_pull.where", "push_pull.alpha"}
    assert bool(memory["attributes"]) == (sampler != "gp")
    resumed = make_sampler_study(sampler)
    resumed.add(trial_of({"push_pull.where": "none"}, value=0.5, system_attrs={MEMORY: memory}))
    (trial,) = trials_of(resumed)
    assert trial.params == memory["parameters"]
    assert trial.system_attrs == memory["attributes"]


def test_constant_liar_keeps_tpe_away_from_live_trials() -> None:
    """With the good region taken by many live trials, TPE proposes less there than without them."""

    def share_near(n_live: int) -> float:
        study = make_sampler_study("tpe")
        for place in range(12):
            alpha = place / 11
            study.add(trial_of({"push_pull.where": "first", "push_pull.alpha": alpha}, value=abs(alpha - 0.2)))
        for place in range(n_live):
            params = {"push_pull.where": "first", "push_pull.alpha": 0.15 + 0.1 * place / n_live}
            study.add(trial_of(params, state=TrialState.RUNNING))
        drafts = [study.propose() for _ in range(20)]
        near = [abs(draft.settings.get("push_pull.alpha", 9.0) - 0.2) < 0.1 for draft in drafts]
        return sum(near) / len(near)

    assert share_near(40) < share_near(0)
