import optuna
import pytest
from optuna.trial import TrialState

from engine.orchestration.search.distributions import distribution
from engine.orchestration.search.mirror import MEMORY, Mirror
from engine.spaces import Choice, Float, Space
from tests.engine.orchestration.spaces import TINY

SPACE = Space(
    name="mirrored",
    base=TINY,
    axes=(
        Choice("push_pull.where", ("none", "first")),
        Float("push_pull.alpha", 0.0, 1.0, when={"push_pull.where": ("first",)}),
    ),
)
ASKED = ["tpe", "cma-es", "gp", "nsga-ii"]


def make_mirror(sampler: str, *, n_objectives: int = 1) -> Mirror:
    return Mirror(SPACE, sampler, seed=0, n_proposals=30, n_objectives=n_objectives)


def trial_of(params: dict, **changes) -> optuna.trial.FrozenTrial:
    distributions = {axis.label: distribution(axis) for axis in SPACE.axes if axis.label in params}
    trial = optuna.trial.create_trial(params=params, distributions=distributions, **changes)
    trial.number = 100
    return trial


def mirrored(mirror: Mirror) -> list[optuna.trial.FrozenTrial]:
    return mirror._study.get_trials()


@pytest.mark.parametrize("sampler", ASKED)
def test_proposals_hold_the_conditions(sampler: str) -> None:
    mirror = make_mirror(sampler)
    for _ in range(8):
        settings = mirror.propose().settings
        assert ("push_pull.alpha" in settings) == (settings["push_pull.where"] == "first")


@pytest.mark.parametrize("sampler", ASKED)
def test_a_refused_proposal_failed_and_an_accepted_one_ends_like_its_trial(sampler: str) -> None:
    mirror = make_mirror(sampler)
    refused, accepted, pruned = mirror.propose(), mirror.propose(), mirror.propose()
    mirror.refuse([refused])
    mirror.accept(accepted, 7)
    mirror.accept(pruned, 8)
    assert [trial.state for trial in mirrored(mirror)] == [TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING]
    complete = trial_of({}, value=0.25, intermediate_values={1: 0.5, 2: 0.3})
    complete.number = 7
    mirror.end(complete)
    stopped = trial_of({}, state=TrialState.PRUNED, intermediate_values={1: 0.9})
    stopped.number = 8
    mirror.end(stopped)
    first, second, third = mirrored(mirror)
    assert (first.state, second.state, third.state) == (TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED)
    assert second.value == 0.25
    assert second.intermediate_values == {1: 0.5, 2: 0.3}
    assert third.intermediate_values == {1: 0.9}


def test_live_trials_that_were_not_proposed_are_seen_and_end() -> None:
    mirror = make_mirror("tpe")
    trial = trial_of({"push_pull.where": "none"}, state=TrialState.RUNNING)
    mirror.add(trial)
    (live,) = mirrored(mirror)
    assert (live.state, live.params) == (TrialState.RUNNING, {"push_pull.where": "none"})
    mirror.end(trial_of({"push_pull.where": "none"}, value=0.5))
    assert mirrored(mirror)[0].value == 0.5


def test_a_sampler_that_needs_every_axis_leaves_out_trials_that_lack_some() -> None:
    partial, whole = {"push_pull.where": "none"}, {"push_pull.where": "first", "push_pull.alpha": 0.5}
    for params, known in ((partial, 0), (whole, 1)):
        mirror = make_mirror("gp")
        mirror.add(trial_of(params, value=0.5))
        mirror.end(trial_of(params, value=0.5))  # of one that it does not know it hears nothing
        assert len(mirrored(mirror)) == known


def test_failed_trials_teach_nothing() -> None:
    mirror = make_mirror("tpe")
    mirror.add(trial_of({"push_pull.where": "none"}, state=TrialState.FAIL))
    assert mirrored(mirror) == []


@pytest.mark.parametrize("sampler", ["cma-es", "nsga-ii", "gp"])
def test_memory_brings_a_trial_back_with_every_axis_and_the_samplers_notes(sampler: str) -> None:
    mirror = make_mirror(sampler)
    for number in range(12):
        draft = mirror.propose()
        mirror.accept(draft, number)
        ended = trial_of({}, value=number / 12)
        ended.number = number
        mirror.end(ended)
    memory = mirror.propose().memory
    assert set(memory["parameters"]) == {"push_pull.where", "push_pull.alpha"}
    assert bool(memory["attributes"]) == (sampler != "gp")
    resumed = make_mirror(sampler)
    resumed.add(trial_of({"push_pull.where": "none"}, value=0.5, system_attrs={MEMORY: memory}))
    (trial,) = mirrored(resumed)
    assert trial.params == memory["parameters"]
    assert trial.system_attrs == memory["attributes"]


def test_constant_liar_keeps_tpe_away_from_live_trials() -> None:
    """With the good region taken by many live trials, TPE proposes less there than without them."""

    def share_near(n_live: int) -> float:
        mirror = make_mirror("tpe")
        for place in range(12):
            alpha = place / 11
            mirror.add(trial_of({"push_pull.where": "first", "push_pull.alpha": alpha}, value=abs(alpha - 0.2)))
        for place in range(n_live):
            params = {"push_pull.where": "first", "push_pull.alpha": 0.15 + 0.1 * place / n_live}
            mirror.add(trial_of(params, state=TrialState.RUNNING))
        drafts = [mirror.propose() for _ in range(20)]
        near = [abs(draft.settings.get("push_pull.alpha", 9.0) - 0.2) < 0.1 for draft in drafts]
        return sum(near) / len(near)

    assert share_near(40) < share_near(0)
