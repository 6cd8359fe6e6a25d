"""The names of engine.metrics, for editors and type checkers: `python -m tests.test_stubs`."""

from engine.metrics.baselines import NAMED_BASELINES, errors_as_csv, flips_as_csv, load_baseline, table_baseline
from engine.metrics.calibration import Calibration, Measured, measure, measured
from engine.metrics.classification import as_input, classification_error, error_and_loss, predict
from engine.metrics.flip_rates import FlipScores, flip_scores
from engine.metrics.flips import Steadiness, steadiness
from engine.metrics.scores import (
    MEASURES,
    Baseline,
    ErrorTable,
    Scores,
    corruption_scores,
    mean_by_corruption,
    mean_calibration,
)
from engine.metrics.stability import ResponseStability, response_stability
from engine.metrics.statistics import PairedDifference, paired_difference
from engine.metrics.table import by_cell, corrupted_split, corrupted_splits, error_table, errors_by_cell

__all__ = [
    "MEASURES",
    "NAMED_BASELINES",
    "Baseline",
    "Calibration",
    "ErrorTable",
    "FlipScores",
    "Measured",
    "PairedDifference",
    "ResponseStability",
    "Scores",
    "Steadiness",
    "as_input",
    "by_cell",
    "classification_error",
    "corrupted_split",
    "corrupted_splits",
    "corruption_scores",
    "error_and_loss",
    "error_table",
    "errors_as_csv",
    "errors_by_cell",
    "flip_scores",
    "flips_as_csv",
    "load_baseline",
    "mean_by_corruption",
    "mean_calibration",
    "measure",
    "measured",
    "paired_difference",
    "predict",
    "response_stability",
    "steadiness",
    "table_baseline",
]
