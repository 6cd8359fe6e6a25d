"""What a sweep tells the tracking: each trial's start, epochs and end, as events for the spool."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.errors import InputError
from engine.metrics import Baseline, corruption_scores, errors_as_csv, mean_by_corruption
from engine.orchestration.databases.patience import Patience
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.tracker_kinds import SWEEP_SLOT
from engine.report.trial_results import TrialResult, describe_settings
from engine.stages.evaluate import rows_to_table

_EPOCH_METRICS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "validation_error": "validation/error",
    "validation_loss": "validation/loss",
    "probe_error": "probe/error",
    "tuned_distortion_error": "probe/tuned_distortion",
}
OTHERS_PROBE = "other_probe"
"""Where an epoch's error is told that another trial, with another probe, has run: it compares with none of this one."""


class TrackingEvents:
    """Turns what happens into events. Every method returns at once, unless the disk is full.

    Args:
        spool: where the writer reads them.
        baseline: what the scores of trials are ratios to, if they are wanted.
        patience: waits for a disk that is full.
    """

    def __init__(self, spool: Spool, baseline: Baseline | None = None, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._spool = spool
        self._baseline = baseline

    def start_sweep(self, name: str, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Open the parent run."""
        self._append("start", SWEEP_SLOT, name=name, params=dict(params), tags=dict(tags))

    def end_sweep(
        self, status: str, metrics: Mapping[str, float], texts: Mapping[str, str], figures: Mapping[str, Any]
    ) -> None:
        """Close the parent run with its table and figure."""
        self._append(
            "end", SWEEP_SLOT, status=status, metrics=dict(metrics), tags={}, texts=dict(texts), figures=dict(figures)
        )

    def start_trial(self, slot: str, number: int, config: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Open a trial's run with its configuration."""
        self._append("start", slot, name=f"{number:03d} {slot}", params=dict(config), tags=dict(tags))

    def epochs(self, slot: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Add epochs of any stage; steps count through all stages."""
        steps = [
            [
                record["step"],
                {_metric(name, record): record[name] for name in _EPOCH_METRICS if name in record}
                | {f"{record['stage']}/{name}": value for name, value in record.get("metrics", {}).items()},
            ]
            for record in records
        ]
        if steps:
            self._append("metrics", slot, steps=steps)

    def end_trial(
        self,
        slot: str,
        status: str,
        *,
        tags: Mapping[str, Any],
        step: int,
        errors: Mapping[str, Any] | None = None,
        rankings: Mapping[str, Any] | None = None,
        filters: Mapping[str, Any] | None = None,
        title: str = "",
    ) -> None:
        """Close a trial's run with its errors by corruption and severity, as a table too, and its figures."""
        figures: dict[str, Any] = {}
        texts: dict[str, str] = {}
        metrics: dict[str, float] = {}
        if errors is not None:
            rows, clean = errors["test"]["corrupted"], errors["test"]["clean"]
            metrics = final_metrics(errors)
            if self._baseline is not None and rows:
                try:
                    metrics |= score_metrics(errors, self._baseline)
                except InputError as error:  # a proposal may be tested on other corruptions
                    tags = {**tags, "scores": str(error)}
            figures["figures/error_by_severity.png"] = {
                "kind": "error_by_severity",
                "rows": rows,
                "clean_error": clean,
                "title": title,
            }
            figures["figures/error_heat_map.png"] = {"kind": "error_heat_map", "rows": rows, "title": title}
            texts["errors.csv"] = errors_as_csv(rows, clean)
        if rankings:
            figures["figures/filter_ranking.png"] = {
                "kind": "ranking_bars",
                "rankings": dict(rankings),
                "selected": dict(filters or {}),
                "title": title,
            }
        self._append(
            "end", slot, status=status, metrics=metrics, tags=dict(tags), texts=texts, figures=figures, step=step
        )

    def open_slots(self) -> dict[str, int]:
        """Return the slots whose run was started but not ended, and the last step that was told of each."""
        found: dict[str, int] = {}
        for event in self._spool.all_events():
            slot = event["slot"]
            if event["event"] == "start":
                found[slot] = 0
            elif event["event"] == "metrics" and slot in found:
                found[slot] = event["steps"][-1][0]
            elif event["event"] == "end":
                found.pop(slot, None)
        return found

    def make_up(self, trials: Iterable[TrialResult]) -> None:
        """End the runs of trials that the study has as ended: their driver died before it could say so here."""
        left = self.open_slots()
        for trial in trials:
            if trial.slot in left:
                tags = {"state": trial.state}
                if trial.state != "COMPLETE":
                    tags["prune_reason" if trial.state == "PRUNED" else "fail_reason"] = str(trial.reason)
                status = "FAILED" if trial.state == "FAIL" else "FINISHED"
                title = f"{trial.slot}: {describe_settings(trial.settings)}"
                self.end_trial(trial.slot, status, tags=tags, step=left[trial.slot], errors=trial.errors, title=title)

    def _append(self, event: str, slot: str, **content: Any) -> None:
        self._patience.call(
            self._spool.append, {"event": event, "slot": slot, "time_ms": int(time.time() * 1000), **content}
        )


def _metric(name: str, record: Mapping[str, Any]) -> str:
    metric = _EPOCH_METRICS[name]
    own = record.get("own_watch", True)
    return metric if own else metric.replace("probe/", f"{OTHERS_PROBE}/")


def final_metrics(errors: Mapping[str, Any]) -> dict[str, float]:
    """Return a trial's results as MLflow metrics, fractions: "objective", "test/clean", "test/<corruption>" (mean over
    the severities), "severity/<corruption>/<severity>", and "test/tuned_distortion" where there is one; and what stages
    measured themselves, "stage/name".
    """
    table = rows_to_table(errors["test"]["corrupted"])
    metrics = {"objective": errors["objective"], "test/clean": errors["test"]["clean"], **errors.get("metrics", {})}
    if errors["test"]["tuned_distortion"] is not None:
        metrics["test/tuned_distortion"] = errors["test"]["tuned_distortion"]
    if not table:
        return metrics
    by_corruption = mean_by_corruption(table)
    metrics["test/mean_corrupted"] = sum(by_corruption.values()) / len(by_corruption)
    metrics |= {f"test/{name}": error for name, error in by_corruption.items()}
    metrics |= {f"severity/{name}/{severity}": error for (name, severity), error in table.items()}
    return metrics


def score_metrics(errors: Mapping[str, Any], baseline: Baseline) -> dict[str, float]:
    """Return a trial's scores as MLflow metrics, ratios: "score/mCE", "score/CE/<corruption>", and "score/rCE" and
    "score/rCE/<corruption>" where the baseline does worse than on clean images.

    Raises:
        InputError: the baseline lacks a corruption, or is over other severities.
    """
    scores = corruption_scores(rows_to_table(errors["test"]["corrupted"]), errors["test"]["clean"], baseline)
    found = {"score/mCE": scores.mCE, "score/rCE": scores.rCE}
    found |= {f"score/CE/{name}": ratio for name, ratio in (scores.CE or {}).items()}
    found |= {f"score/rCE/{name}": ratio for name, ratio in (scores.rCE_by_corruption or {}).items()}
    return {name: value for name, value in found.items() if value is not None}
