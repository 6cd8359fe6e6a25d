"""Which seed's network is given away: the median by validation images, whatever test images say."""

import dataclasses
import itertools

import pytest

from engine.errors import InputError
from engine.report.exported_trial import exported_trial
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.spaces import Arm, Space

SPACE = Space(
    name="small",
    arms=(Arm("plain", {}), Arm("inhibited", {"push_pull.where": "first"})),
    n_seeds=4,
)


def trial_of(number: int, group: str, objective: float, *, test: float = 0.5, answered: float = 0.2) -> TrialResult:
    row = {"corruption": "fog", "severity": 1, "error": test}
    of_test = {"clean": test, "corrupted": [row], "most_answered": answered, "most_labelled": 0.1}
    return TrialResult(
        number=number,
        slot=f"arm/{group}/{number}" if group else f"proposal/{number}",
        group=group,
        seed=100 - number,
        state="COMPLETE",
        settings={},
        objective=objective,
        errors={"objective": objective, "validation": {"clean": 0.1, "corrupted": []}, "test": of_test},
        reason=None,
        stages={},
        values={"corrupted": objective},
    )


def results_of(*trials: TrialResult, **others) -> Results:
    return Results("study", SPACE, trials, **others)


@pytest.mark.parametrize("errors", list(itertools.permutations((0.1, 0.2, 0.3))))
def test_it_is_the_median_in_whatever_order_seeds_end(errors):
    trials = [trial_of(number, "plain", error) for number, error in enumerate(errors)]
    found = exported_trial(results_of(*trials), "arm:plain")
    assert found.trial.objective == 0.2
    assert found.reason.startswith("the median of the 3 complete of 4 seeds of arm 'plain', by its error on corrupted")


def test_of_an_even_number_it_is_the_better_in_the_middle_and_of_equal_ones_the_first_seed():
    trials = [trial_of(number, "plain", error) for number, error in enumerate((0.4, 0.2, 0.3, 0.1))]
    assert exported_trial(results_of(*trials), "arm:plain").trial.objective == 0.2
    alike = [trial_of(number, "plain", 0.2) for number in range(3)]
    assert exported_trial(results_of(*alike), "arm:plain").trial.seed == 99, "of seeds 98, 99 and 100 the middle one"


def test_test_images_have_no_say():
    errors = (0.1, 0.2, 0.3)
    for on_test in itertools.permutations((0.01, 0.5, 0.99)):
        for answered in (0.2, 1.0):
            trials = [
                trial_of(number, "plain", error, test=test, answered=answered)
                for number, (error, test) in enumerate(zip(errors, on_test, strict=True))
            ]
            assert exported_trial(results_of(*trials), "arm:plain").trial.number == 1


def test_a_dead_network_is_not_passed_over_but_said_to_be_dead():
    trials = [trial_of(number, "plain", 0.9, answered=1.0) for number in range(3)]
    assert exported_trial(results_of(*trials), "arm:plain").notes == (
        "its network is dead: it answers (nearly) every image alike",
    )


def test_what_it_is_of_a_running_study_may_change_and_it_says_so():
    found = exported_trial(results_of(trial_of(0, "plain", 0.1), is_running=True), "arm:plain")
    assert found.reason.startswith("the only complete one of 4 seeds of arm 'plain'")
    assert found.notes == ("study 'study' is still running: what its winner or a median is may change",)


def test_the_winner_s_repeats_are_of_the_proposal_that_is_the_best_now():
    best, displaced = trial_of(0, "", 0.1), trial_of(9, "winner", 0.05)
    displaced = dataclasses.replace(displaced, settings={"seed": 1})
    results = results_of(best, displaced)
    found = exported_trial(results, "winner")
    assert found.trial is best
    assert found.notes == ("study 'study' has no repeats of its best proposal: this is the proposal itself",)
    repeated = results_of(best, displaced, trial_of(1, "winner", 0.3))
    assert exported_trial(repeated, "winner").trial.number == 1


def test_errors_name_what_there_is():
    results = results_of(trial_of(0, "plain", 0.1), trial_of(20, "", 0.2), trial_of(40, "", 0.2))
    with pytest.raises(InputError, match=r"no ended trial 35; the nearest of 3 complete trials: 0, 20, 40"):
        exported_trial(results, "trial:35")
    with pytest.raises(InputError, match="arm 'inhibited' of study 'study' has no complete trial"):
        exported_trial(results, "arm:inhibited")
    with pytest.raises(InputError, match="has no complete trial: there is no network"):
        exported_trial(results_of(), "winner")
