"""What a trial has measured, as the metrics of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.metrics import Baseline, corruption_scores, flip_scores, mean_by_corruption, mean_calibration
from engine.metrics.scores import rows_to_table
from engine.result_names import Metric


def epoch_metrics(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return {metric: value} of an epoch's record."""
    own_watch = record.get("own_watch", True)
    known = {Metric.of_epoch(key, own_watch=own_watch): record[key] for key in Metric.BY_EPOCH if key in record}
    return known | {Metric.of_stage(record["stage"], name): value for name, value in record.get("metrics", {}).items()}


def final_metrics(errors: Mapping[str, Any]) -> dict[str, float]:
    """Return a trial's results as MLflow metrics, fractions; and what stages measured themselves."""
    table = rows_to_table(errors["test"]["corrupted"])
    metrics = {
        Metric.OBJECTIVE: errors["objective"],
        Metric.CLEAN: errors["test"]["clean"],
        **errors.get("metrics", {}),
        **calibration_metrics(errors),
        **flip_metrics(errors),
    }
    if errors["test"]["tuned_distortion"] is not None:
        metrics[Metric.TUNED_DISTORTION] = errors["test"]["tuned_distortion"]
    if not table:
        return metrics
    by_corruption = mean_by_corruption(table)
    metrics[Metric.MEAN_CORRUPTED] = sum(by_corruption.values()) / len(by_corruption)
    metrics |= {Metric.corruption(name): error for name, error in by_corruption.items()}
    metrics |= {Metric.cell(name, severity): error for (name, severity), error in table.items()}
    return metrics


def calibration_metrics(errors: Mapping[str, Any]) -> dict[str, float]:
    """Return a network's calibration as MLflow metrics: on clean test images, and the mean over corrupted ones.

    Evaluations from before, and those of a user's own, may not say.
    """
    clean = errors["test"].get("calibration", {})
    corrupted = mean_calibration(errors["test"]["corrupted"])
    found: dict[str, float | None] = {}
    for measure, metrics in Metric.CALIBRATION.items():
        found |= dict(zip(metrics, (clean.get(measure), corrupted.get(measure)), strict=True))
    return {name: value for name, value in found.items() if value is not None}


def flip_metrics(errors: Mapping[str, Any]) -> dict[str, float]:
    """Return how steady a network's answers are along perturbation sequences as MLflow metrics; none where nothing was
    measured."""
    rows = errors["test"].get("sequences")
    if not rows:
        return {}
    scores = flip_scores(rows)
    by_sequence = {Metric.flips(row["sequence"]): row["flip_probability"] for row in rows}
    return {Metric.FLIPS: scores.FP, Metric.TOP5_DISTANCE: scores.T5D, **by_sequence}


def score_metrics(errors: Mapping[str, Any], baseline: Baseline) -> dict[str, float]:
    """Return a trial's scores as MLflow metrics, ratios; the relative ones where the baseline does worse than on clean
    images.

    Raises:
        InputError: the baseline lacks a corruption, or is over other severities.
    """
    scores = corruption_scores(rows_to_table(errors["test"]["corrupted"]), errors["test"]["clean"], baseline)
    found = {Metric.MEAN_CE: scores.mCE, Metric.RELATIVE_MEAN_CE: scores.rCE}
    found |= {Metric.ce(name): ratio for name, ratio in (scores.CE or {}).items()}
    if errors["test"].get("sequences"):
        found[Metric.FLIP_RATE] = flip_scores(errors["test"]["sequences"], baseline).mFR
    found |= {Metric.relative_ce(name): ratio for name, ratio in (scores.rCE_by_corruption or {}).items()}
    return {name: value for name, value in found.items() if value is not None}
