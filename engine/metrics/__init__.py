"""Errors, scores and what can be said of them over seeds."""

from engine.metrics.errors import as_input, classification_error, error_and_loss, predict
from engine.metrics.stability import ResponseStability, response_stability
from engine.metrics.statistics import PairedDifference, paired_difference
from engine.metrics.table import (
    ErrorTable,
    Scores,
    corrupted_split,
    corrupted_splits,
    corruption_scores,
    error_table,
    mean_by_corruption,
)

__all__ = [
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
    "mean_by_corruption",
    "paired_difference",
    "predict",
    "response_stability",
]
