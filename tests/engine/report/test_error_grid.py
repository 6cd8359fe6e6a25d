"""What stands below a network's table of errors."""

import pytest

from engine.report.error_grid import error_grid
from engine.report.latex import as_latex
from engine.report.network_summary import summary_table
from engine.report.terminal import as_text

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


def test_a_likelihood_that_is_next_to_nothing_takes_no_more_room_than_another():
    lost = {"ece": 0.9, "nll": 2.04e37, "brier": 1.8}
    corrupted = [{"corruption": "fog", "severity": k, "error": 0.5, **cell} for k, cell in enumerate((FINITE, lost), 1)]
    test = {"clean": 0.5, "calibration": lost, "tuned_distortion": None, "corrupted": corrupted}
    tables = [error_grid({"test": test}, is_trial=False), summary_table({"test": test})]
    for text in (as_text(tables), as_latex(tables, title="it")):
        for shown in ("NLL 2.0e+37, Brier 1.80 on clean images", "NLL 1.0e+37, Brier 1.00 on these", " 1.0e+37"):
            assert shown in " ".join(text.split())
        assert "0" * 10 not in text
