"""Errors, scores and what can be said of them over seeds."""

from engine._lazy import lazy_names

_MODULES = {
    "Baseline": "engine.metrics.scores",
    "Calibration": "engine.metrics.calibration",
    "FlipScores": "engine.metrics.flip_rates",
    "ErrorTable": "engine.metrics.scores",
    "MEASURES": "engine.metrics.scores",
    "Measured": "engine.metrics.calibration",
    "NAMED_BASELINES": "engine.metrics.baselines",
    "PairedDifference": "engine.metrics.statistics",
    "ResponseStability": "engine.metrics.stability",
    "Steadiness": "engine.metrics.flips",
    "Scores": "engine.metrics.scores",
    "as_input": "engine.metrics.classification",
    "by_cell": "engine.metrics.table",
    "classification_error": "engine.metrics.classification",
    "corrupted_split": "engine.metrics.table",
    "corrupted_splits": "engine.metrics.table",
    "corruption_scores": "engine.metrics.scores",
    "error_and_loss": "engine.metrics.classification",
    "error_table": "engine.metrics.table",
    "errors_as_csv": "engine.metrics.baselines",
    "errors_by_cell": "engine.metrics.table",
    "flip_scores": "engine.metrics.flip_rates",
    "flips_as_csv": "engine.metrics.baselines",
    "load_baseline": "engine.metrics.baselines",
    "mean_by_corruption": "engine.metrics.scores",
    "mean_calibration": "engine.metrics.scores",
    "measure": "engine.metrics.calibration",
    "measured": "engine.metrics.calibration",
    "paired_difference": "engine.metrics.statistics",
    "predict": "engine.metrics.classification",
    "response_stability": "engine.metrics.stability",
    "steadiness": "engine.metrics.flips",
    "table_baseline": "engine.metrics.baselines",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
