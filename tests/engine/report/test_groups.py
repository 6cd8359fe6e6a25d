"""The groups of a study, and what is told of each."""

import dataclasses
import math

import pytest

from engine.errors import InputError
from engine.report.results import Results
from engine.report.study_report import study_report
from engine.report.terminal import as_text
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import FAILING, RESULTS, make_trial


def test_groups_are_arms_in_order_then_the_last_winner() -> None:
    groups = RESULTS.groups()
    assert [group.name for group in groups] == ["plain", "push-pull", "winner"]
    assert groups[0].errors["gaussian_noise"] == pytest.approx((0.45, 0.65))
    assert groups[2].errors["gaussian_noise"] == pytest.approx((0.20, 0.22))
    assert groups[0].mean_and_std("gaussian_noise") == pytest.approx((0.55, 0.1414213562))


def test_repeats_of_a_proposal_that_a_better_one_has_displaced_are_no_row() -> None:
    trials = [trial for trial in RESULTS.trials if trial.group != "winner"]
    repeat = make_trial(10, "winner/old/0", "winner", 11, 0.01, settings={"push_pull.where": "none"})
    results = Results("study", SPACE, (*trials, repeat))
    assert [group.name for group in results.groups()] == ["plain", "push-pull"]
    assert "'winner' is this proposal" not in as_text(study_report(results))


def test_differences_are_paired_by_seed() -> None:
    plain, push_pull, _ = RESULTS.groups()
    difference = RESULTS.compare(push_pull, plain, "gaussian_noise")
    assert difference is not None
    # differences −0.20 and −0.30: mean −0.25, standard error 0.05, t(0.975, 1) = 12.7062
    assert (difference.mean, difference.low, difference.high) == pytest.approx((-0.25, -0.88531, 0.38531), abs=1e-5)


def test_a_column_that_there_is_not_is_said_with_the_nearest() -> None:
    group = RESULTS.groups()[0]
    with pytest.raises(InputError, match=r"unknown column 'gausian_noise' \(did you mean 'gaussian_noise'\?\)"):
        group.mean_and_std("gausian_noise")
    with pytest.raises(InputError, match="unknown column 'typo'"):
        RESULTS.compare(group, group, "typo")


def test_mean_and_std_of_too_few_seeds_are_nan() -> None:
    empty, single = FAILING.groups()
    assert all(map(math.isnan, empty.mean_and_std("clean")))
    assert single.mean_and_std("clean")[0] == pytest.approx(0.02)
    assert math.isnan(single.mean_and_std("clean")[1])


def test_results_are_short_at_a_prompt() -> None:
    trials = tuple(make_trial(n, f"proposal/{n}", "", 11, 0.3) for n in range(300))
    results = dataclasses.replace(RESULTS, trials=(*RESULTS.trials, *trials))
    assert len(repr(results)) < 300
    assert "310 trials: 308 COMPLETE, 1 PRUNED, 1 FAIL" in repr(results)
    assert "plain 2 of 2" in repr(results)
    lacking = dataclasses.replace(results.trials[0], errors={"objective": 0.3})  # a record of some other version's
    assert "plain 2 of 2" in repr(dataclasses.replace(results, trials=(lacking, *results.trials[1:])))
    assert repr(results.groups()) == "[GroupSummary('plain', 2 of 2), GroupSummary('push-pull', 2 of 2), " + (
        "GroupSummary('winner', 2 of 2)]"
    )
    assert len(repr(trials[0])) < 100
