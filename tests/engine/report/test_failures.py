"""What failed, or has died, is counted beside what is compared."""

import dataclasses

import pytest

from engine.report.failures import failure_lines
from engine.report.results import Results
from engine.report.study_report import study_report
from engine.report.terminal import as_text
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import FAILING, failed, make_trial, table_rows, with_rows


def test_seeds_that_failed_are_counted_beside_the_mean_and_an_arm_without_any_keeps_its_row() -> None:
    text = as_text(study_report(FAILING))
    plain, push_pull, difference = table_rows(text)
    assert plain == ["plain", "0 of 2", "–", "–", "–", "–"]
    assert push_pull[:3] == ["push-pull", "1 of 2", "2.0"]  # one seed has no deviation
    assert difference == ["push-pull − plain", "0 of 2", "–", "–", "–", "–"]
    assert "plain: push_pull.where=none, finetune.which=none" in text
    assert "±0.0" not in text
    assert "failed: 2 × pretrain: OSError: [Errno 5] /data/7/x.bin (and alike" in text
    assert "plain 2 (trials 0, 2)" in text
    assert "failed: 1 × its process died — push-pull 1 (trial 3)" in text


def test_a_study_of_failures_alone_has_its_rows_and_reasons() -> None:
    text = as_text(study_report(dataclasses.replace(FAILING, trials=(FAILING.trials[0], FAILING.trials[2]))))
    assert table_rows(text)[:2] == [["plain", "0 of 2", "–"], ["push-pull", "0 of 2", "–"]]
    assert "no trial completed: there is nothing to compare" in text
    assert "not run: push-pull 2 of 2 seeds" in text


def test_ten_failures_of_one_cause_are_one_line() -> None:
    trials = [
        failed(n, f"proposal/{n}", "", 11, f"finetune: NumericsError: loss {n}.5e-{n} in epoch {n} of /s/{n}/a{n}.bin")
        for n in range(12)
    ]
    lines = failure_lines([*trials, failed(12, "proposal/12", "", 11, "rank: NumericsError: loss in epoch 3")])
    assert len(lines) == 2
    assert lines[0].startswith("failed: 12 × finetune: NumericsError: loss 0.5e-0 in epoch 0 of /s/0/a0.bin (and alike")
    assert lines[0].endswith("— proposals 12 (trials 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)")
    assert lines[1] == "failed: 1 × rank: NumericsError: loss in epoch 3 — proposals 1 (trial 12)"


def test_a_dead_network_is_counted_and_named() -> None:
    dead = with_rows(make_trial(0, "arm/plain/0", "plain", 11, 0.9), clean=0.9, contrast=0.9, fog=0.9)
    alive = with_rows(make_trial(1, "arm/plain/1", "plain", 12, 0.9), clean=0.9, contrast=0.9, fog=0.91)
    perfect = with_rows(make_trial(2, "arm/push-pull/0", "push-pull", 11, 0.0), clean=0.0, contrast=0.0, fog=0.0)
    results = Results("study", SPACE, (dead, alive, perfect))
    assert [group.count for group in results.groups()] == ["2 of 2, 1 dead", "1 of 2"]
    assert "dead: plain, seed 11: the network answers (nearly) every image alike; it counts in the mean" in as_text(
        study_report(results)
    )


@pytest.mark.parametrize(
    ("answered", "labelled", "dead"),
    [(1.0, 0.1, True), (0.96, 0.1, True), (0.94, 0.1, False), (0.97, 0.9, False), (1.0, 0.9, True), (1.0, 1.0, False)],
)
def test_a_network_is_dead_that_has_one_answer_for_images_of_many_classes(answered, labelled, dead) -> None:
    trial = make_trial(0, "arm/plain/0", "plain", 11, 0.3)
    assert trial.errors is not None
    test = {**trial.errors["test"], "most_answered": answered, "most_labelled": labelled}
    assert dataclasses.replace(trial, errors={**trial.errors, "test": test}).dead is dead
