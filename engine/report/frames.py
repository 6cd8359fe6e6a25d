"""What a study says as tidy data frames of pandas: numbers unrounded, errors as fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.report.records import (
    FLIP_COLUMNS,
    GROUP_COLUMNS,
    OF_A_CELL,
    TRIAL_COLUMNS,
    Row,
    group_rows,
    sequence_rows,
    trial_rows,
)
from engine.report.results import Results

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Frames:
    """A study's numbers, a data frame for each kind of row.

    Attributes:
        trials: a row a trial, failed and pruned ones included: what it was for, its state, its errors by column
            ("clean", each kind, each corruption, "all"), why it has none, and every setting that some trial varies.
        errors: a row a trial × corruption × severity ("clean" at severity 0), with the error's calibration and the same
            columns otherwise; one without an error for a trial that has none.
        groups: a row a group × column of errors: mean, spread, 95 % interval, and how many seeds it is of, with those
            that failed, are missing or have a dead network.
        flips: a row a trial × perturbation sequence along which it was tested: flip probability and distances.
    """

    trials: pandas.DataFrame
    errors: pandas.DataFrame
    groups: pandas.DataFrame
    flips: pandas.DataFrame


def as_frames(results: Results) -> Frames:
    """Return a study's data frames; they have their columns even where there is no row."""
    cells = trial_rows(results)
    return Frames(
        _frame(_rows_of_trials(results, cells), [name for name in TRIAL_COLUMNS if name not in OF_A_CELL]),
        _frame(cells, TRIAL_COLUMNS),
        _frame(group_rows(results), GROUP_COLUMNS),
        _frame(sequence_rows(results), FLIP_COLUMNS),
    )


def _rows_of_trials(results: Results, cells: list[Row]) -> list[Row]:
    """Return a row for every trial, its errors by column behind what is known of it."""
    errors = {trial.number: trial.test_errors() for trial in results.trials if trial.errors is not None}
    known: dict[int, Row] = {}
    for cell in cells:
        known.setdefault(cell["trial"], {name: value for name, value in cell.items() if name not in OF_A_CELL})
    columns = dict.fromkeys(name for each in errors.values() for name in each)
    return [
        row | {f"error: {name}": errors.get(number, {}).get(name) for name in columns} for number, row in known.items()
    ]


def _frame(rows: list[Row], columns: list[str] | tuple[str, ...]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(rows, columns=None if rows else list(columns))
