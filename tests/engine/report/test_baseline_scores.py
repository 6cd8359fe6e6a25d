from dataclasses import replace

import pytest

from engine.errors import InputError
from engine.metrics import Baseline
from engine.report.baseline_scores import baseline_of_study, score_tables
from engine.report.results import Results
from engine.report.terminal import as_text
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import FAILING, RESULTS


def test_an_arm_is_a_baseline_by_its_mean_over_the_seeds():
    baseline = baseline_of_study("arm:plain", RESULTS)
    # (0.30 + 0.15) and (0.50 + 0.15), means over two severities
    assert baseline.errors == pytest.approx({"gaussian_noise": 0.55, "contrast": 0.5})
    assert baseline.clean_error == pytest.approx(0.02)
    assert baseline.severities == (1, 2)


def test_scores_by_hand():
    baseline = Baseline("baseline x.csv", {"gaussian_noise": 0.5, "contrast": 0.4}, 0.1)
    text = as_text(score_tables(RESULTS, baseline))
    rows = [line.replace("│", " ").split() for line in text.splitlines()]
    # push-pull: gaussian_noise 0.25 and 0.35, contrast 0.5: CE 0.5 and 0.7, 1.25; rCE 0.575 and 0.825, 1.6
    assert ["push-pull", *["2", "of", "2"], "40.0", "±3.5", "92.5", "±7.1", "115.0", "±8.8"] in rows
    assert ["gaussian_noise", "110", "60", "42"] in rows
    assert ["contrast", "125", "125", "125"] in rows


def test_an_undefined_rce_is_said_with_its_reason():
    text = as_text(score_tables(RESULTS, Baseline("baseline x", {"gaussian_noise": 0.5, "contrast": 0.05}, 0.1)))
    assert "rCE is undefined: baseline x has 5.00% error on contrast, no more than the 10.00% on clean images" in text
    assert "–" in text


def test_what_cannot_be_a_baseline_is_refused():
    with pytest.raises(InputError, match=r"space '.*': unknown arm 'plan' \(did you mean 'plain'\?\)"):
        baseline_of_study("arm:plan", RESULTS)
    with pytest.raises(InputError, match="arm 'plain' has no complete trial yet"):
        baseline_of_study("arm:plain", Results("study", SPACE, ()))
    with pytest.raises(InputError, match="baseline x has no error for contrast"):
        score_tables(RESULTS, Baseline("baseline x", {"gaussian_noise": 0.5}, 0.1))


def test_a_study_without_complete_trials_says_so():
    baseline = Baseline("baseline x", {"gaussian_noise": 0.5}, 0.1)
    assert score_tables(Results("study", SPACE, ()), baseline) == [
        "no arm has a complete trial to compare with baseline x"
    ]


def test_seeds_that_failed_are_counted_beside_the_scores():
    text = as_text(score_tables(FAILING, Baseline("baseline x", {"gaussian_noise": 0.5, "contrast": 0.4}, 0.1)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows[0] == ["plain", "0 of 2", "–", "–", "–"]
    assert rows[1] == ["push-pull", "1 of 2", "37.5", "87.5", "108.7"]  # rCE 0.575 and 1.6; one seed has no deviation
    assert ["gaussian_noise", "–", "50"] in rows


def test_what_a_baseline_was_measured_on_is_said_where_it_is_not_the_study_s_images():
    errors = {"gaussian_noise": 0.5, "contrast": 0.4}
    elsewhere = Baseline("baseline x", errors, 0.1, measured_on="CIFAR-10-C", dataset="cifar10")
    note = "baseline x was measured on CIFAR-10-C, these errors on digits: ratios to it mean little"
    assert note in score_tables(RESULTS, elsewhere)
    assert note not in score_tables(RESULTS, replace(elsewhere, dataset="digits"))
