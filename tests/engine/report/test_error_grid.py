"""What stands below a network's table of errors."""

import pytest

from engine.report.error_grid import error_grid

FINITE, NONE = {"ece": 0.1, "nll": 0.5, "brier": 0.2}, {"ece": None, "nll": None, "brier": None}


@pytest.mark.parametrize(
    ("clean", "cells", "line"),
    [
        (FINITE, (FINITE, FINITE), None),
        ({}, ({}, {}), None),  # an evaluation of before calibration was measured
        (FINITE, (FINITE, NONE), "answers are not finite in 1 of 2 cells: "),
        (NONE, (NONE, NONE), "answers are not finite on clean images and in 2 of 2 cells: "),
        (FINITE, (FINITE, FINITE | {"nll": None}), "answers are not finite in 1 of 2 cells: "),
    ],
)
def test_answers_that_are_no_finite_numbers_are_told(clean, cells, line):
    corrupted = [{"corruption": "fog", "severity": k, "error": 0.5, **cell} for k, cell in enumerate(cells, 1)]
    errors = {"test": {"clean": 0.5, "calibration": clean, "tuned_distortion": None, "corrupted": corrupted}}
    caption = error_grid(errors, is_trial=False).caption
    assert ("not finite" in caption) == (line is not None)
    if line is not None:
        assert f"\n{line}no calibration there" in caption
