"""Errors, scores and what can be said of them over seeds."""

from engine.metrics.baselines import NAMED_BASELINES, errors_as_csv, load_baseline, table_baseline
from engine.metrics.classification import as_input, classification_error, error_and_loss, predict
from engine.metrics.scores import Baseline, Scores, corruption_scores, mean_by_corruption
from engine.metrics.stability import ResponseStability, response_stability
from engine.metrics.statistics import PairedDifference, paired_difference
from engine.metrics.table import (
    ErrorTable,
    corrupted_split,
    corrupted_splits,
    error_table,
    errors_by_cell,
)

__all__ = [
    "NAMED_BASELINES",
    "Baseline",
    "ErrorTable",
    "PairedDifference",
    "ResponseStability",
    "Scores",
    "as_input",
    "classification_error",
    "corrupted_split",
    "corrupted_splits",
    "corruption_scores",
    "error_and_loss",
    "error_table",
    "errors_as_csv",
    "errors_by_cell",
    "load_baseline",
    "mean_by_corruption",
    "paired_difference",
    "predict",
    "response_stability",
    "table_baseline",
]
