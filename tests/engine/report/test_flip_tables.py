"""Flip probabilities of a study's arms by hand, and against an arm."""

import csv
import dataclasses
import io

import pytest

from engine.orchestration.tracking.trial_metrics import final_metrics, score_metrics
from engine.report.baseline_scores import arm_baseline, score_tables
from engine.report.formats import FORMATS, Answer
from engine.report.frames import as_frames
from engine.report.results import Results
from engine.report.study_report import closing_report, study_report
from engine.report.terminal import as_text
from tests.engine.metrics.test_flips import row
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import RESULTS

FLIPS = {"plain": (0.02, 0.04), "push-pull": (0.01, 0.03)}


def measured(trial):
    """Return a trial with two sequences, the second of which flips twice as often as the first."""
    if trial.errors is None or trial.group not in FLIPS:
        return trial
    flips = FLIPS[trial.group][trial.seed % 2]
    test = {**trial.errors["test"], "sequences": [row("rotate", flips, 1.0), row("tilt", 2 * flips, 3.0)]}
    return dataclasses.replace(trial, errors={**trial.errors, "test": test})


@pytest.fixture
def results():
    return Results("study", SPACE, tuple(map(measured, RESULTS.trials)))


def rows(text):
    return [line.replace("│", " ").split() for line in text.splitlines()]


def test_a_study_shows_flips_where_they_were_measured(results):
    for report in (study_report, closing_report):
        found = rows(as_text(report(results)))
        assert ["plain", "2", "4.5", "±2.1", "2.00", "±0.00"] in found
        assert ["push-pull", "2", "3.0", "±2.1", "2.00", "±0.00"] in found
        assert "Flip probability" not in as_text(report(RESULTS))
    opened = rows(as_text(study_report(results, by="corruption")))
    assert ["plain", "3.0", "±1.4", "6.0", "±2.8"] in opened


def test_it_is_said_of_what_flips_are_and_that_those_of_a_dead_network_are_no_steadiness(results):
    said = " ".join(as_text(study_report(results)).split())
    assert "perturbation sequences of the test images: rotate, tilt; difficulty 1." in said
    assert "hardly ever flip" not in said
    test = {**results.trials[0].errors["test"], "most_answered": 1.0, "most_labelled": 0.1}
    dead = dataclasses.replace(results.trials[0], errors={**results.trials[0].errors, "test": test})
    with_dead = dataclasses.replace(results, trials=(dead, *results.trials[1:]))
    assert "of a dead network hardly ever flip" in " ".join(as_text(study_report(with_dead)).split())
    flips = as_frames(results).flips
    assert list(flips[flips.trial == 0].flip_probability) == pytest.approx([0.04, 0.08])
    assert len(as_frames(RESULTS).flips) == 0


def test_flips_are_written_and_compared(results):
    files = FORMATS["csv"].write(Answer(results))
    lines = list(csv.DictReader(io.StringIO(files["-flips"])))
    assert len(lines) == 2 * sum(trial.errors is not None and trial.group in FLIPS for trial in results.trials)
    assert {"study", "trial", "group", "seed", "sequence", "flip_probability"} <= set(lines[0])
    assert "-flips" not in FORMATS["csv"].write(Answer(RESULTS))
    baseline = arm_baseline("arm:plain", results)
    assert [one["flip_probability"] for one in baseline.sequences] == pytest.approx([0.03, 0.06])
    found = rows(as_text(score_tables(results, baseline)))
    assert ["plain", "2", "100.0", "±47.1", "100.0", "±0.0"] in found
    trial = next(trial for trial in results.trials if trial.group == "push-pull" and trial.errors is not None)
    metrics = {**final_metrics(trial.errors), **score_metrics(trial.errors, baseline)}
    flips = FLIPS["push-pull"][trial.seed % 2]
    assert metrics["score/FP"] == pytest.approx(1.5 * flips)
    assert metrics["score/FP/tilt"] == pytest.approx(2 * flips)
    assert metrics["score/mFR"] == pytest.approx(flips / 0.03)
