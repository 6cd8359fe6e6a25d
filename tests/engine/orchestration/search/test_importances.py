import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from engine.orchestration.search.importances import importances_of
from engine.result_names import OfTrial

WHERE, H = "push_pull.where", "push_pull.h"
DISTRIBUTIONS = {WHERE: CategoricalDistribution(["none", "first"]), H: FloatDistribution(1.0, 3.0)}


def trial_of(slot, *values, h, repeat_of=None, state=TrialState.COMPLETE):
    """Return a trial with a layer whose h is given, or without a layer where there is none."""
    settings = {WHERE: "none"} if h is None else {WHERE: "first", H: h}
    notes = {OfTrial.SLOT: slot} | ({OfTrial.REPEAT_OF: repeat_of} if repeat_of is not None else {})
    distributions = {name: DISTRIBUTIONS[name] for name in settings}
    found = values if state == TrialState.COMPLETE else None
    return create_trial(params=settings, distributions=distributions, values=found, user_attrs=notes, state=state)


def proposals(n=24):
    """Return proposals, half of which have a layer and err the less for it; ``h`` has no say in the first objective."""
    layered = [trial_of(f"proposal/{i}", 0.1, 0.3 - 0.1 * (i % 5), h=1.0 + 0.4 * (i % 5)) for i in range(n // 2)]
    return [*layered, *(trial_of(f"proposal/{i}", 0.5 + i / 1000, 0.2, h=None) for i in range(n // 2, n))]


def test_what_matters_is_told_for_each_objective():
    found = importances_of(proposals(), ["corrupted", "clean"])
    assert found.n == 24
    assert set(found.shares) == {"corrupted", "clean"}
    for shares in found.shares.values():
        assert sum(shares.values()) == pytest.approx(1.0)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert found.shares["corrupted"][WHERE] > 0.5, "PED-ANOVA knows that h is there only where there is a layer"


def test_arms_repeats_and_what_has_not_ended_well_have_no_part_in_it():
    known = proposals()
    arms = [trial_of(f"arm/plain/{i}", 0.9, 0.9, h=None) for i in range(6)]
    winners = [trial_of(f"winner/{i}", 0.0, 0.0, h=3.0) for i in range(6)]
    again = [trial_of(f"proposal/{30 + i}", 0.1, 0.3, h=1.0, repeat_of=0) for i in range(9)]
    pruned = [trial_of(f"proposal/{40 + i}", h=2.0, state=TrialState.PRUNED) for i in range(5)]
    objectives = ["corrupted", "clean"]
    assert importances_of([*arms, *known, *winners, *again, *pruned], objectives) == importances_of(known, objectives)


def test_of_few_proposals_or_such_as_differ_in_nothing_nothing_is_said():
    assert importances_of(proposals()[:3], ["corrupted", "clean"]) is None
    alike = [trial_of(f"proposal/{i}", 0.1, h=None) for i in range(8)]
    assert importances_of(alike, ["corrupted"]) is None
    unvaried = [trial_of(f"proposal/{i}", 0.1 * i, h=None) for i in range(8)]
    assert importances_of(unvaried, ["corrupted"]) is None
    equal = [trial_of(f"proposal/{i}", 0.1, h=1.0 + 0.1 * i) for i in range(8)]
    assert importances_of(equal, ["corrupted"]) is None, "Optuna's own shares would be a half each"
