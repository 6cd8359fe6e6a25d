"""What a sweep tells the tracking: each trial's start, epochs and end, as events for the spool."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.errors import InputError
from engine.metrics import Baseline, corruption_scores, errors_as_csv, mean_by_corruption
from engine.orchestration.databases.patience import Patience
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.tracker_kinds import SWEEP
from engine.report.trial_results import TrialResult, describe_settings
from engine.result_names import Metric, RunArtifact, Tag
from engine.stages.evaluate import rows_to_table


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
        self._append("start", SWEEP, name=name, params=dict(params), tags=dict(tags))

    def end_sweep(
        self, status: str, metrics: Mapping[str, float], texts: Mapping[str, str], figures: Mapping[str, Any]
    ) -> None:
        """Close the parent run with its table and figure."""
        self._append(
            "end", SWEEP, status=status, metrics=dict(metrics), tags={}, texts=dict(texts), figures=dict(figures)
        )

    def start_trial(self, planned: str, number: int, config: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Open a trial's run with its configuration."""
        self._append("start", planned, name=f"{number:03d} {planned}", params=dict(config), tags=dict(tags))

    def epochs(self, planned: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Add epochs of any stage; steps count through all stages."""
        steps = [[record["step"], _metrics(record)] for record in records]
        if steps:
            self._append("metrics", planned, steps=steps)

    def end_trial(
        self,
        planned: str,
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
                    tags = {**tags, Tag.SCORES: str(error)}
            figures[RunArtifact.ERROR_BY_SEVERITY] = {
                "kind": "error_by_severity",
                "rows": rows,
                "clean_error": clean,
                "title": title,
            }
            figures[RunArtifact.ERROR_HEAT_MAP] = {"kind": "error_heat_map", "rows": rows, "title": title}
            texts[RunArtifact.ERRORS] = errors_as_csv(rows, clean)
        if rankings:
            figures[RunArtifact.FILTER_RANKING] = {
                "kind": "ranking_bars",
                "rankings": dict(rankings),
                "selected": dict(filters or {}),
                "title": title,
            }
        self._append(
            "end", planned, status=status, metrics=metrics, tags=dict(tags), texts=texts, figures=figures, step=step
        )

    def open_runs(self) -> dict[str, int]:
        """Return what was started but not ended, and the last step that was told of each."""
        found: dict[str, int] = {}
        for event in self._spool.all_events():
            planned = event["slot"]
            if event["event"] == "start":
                found[planned] = 0
            elif event["event"] == "metrics" and planned in found:
                found[planned] = event["steps"][-1][0]
            elif event["event"] == "end":
                found.pop(planned, None)
        return found

    def make_up(self, trials: Iterable[TrialResult]) -> None:
        """End the runs of trials that the study has as ended: their driver died before it could say so here."""
        left = self.open_runs()
        for trial in trials:
            if trial.slot in left:
                tags = {Tag.STATE: trial.state}
                if trial.state != "COMPLETE":
                    tags[Tag.PRUNE_REASON if trial.state == "PRUNED" else Tag.FAIL_REASON] = str(trial.reason)
                status = "FAILED" if trial.state == "FAIL" else "FINISHED"
                title = f"{trial.slot}: {describe_settings(trial.settings)}"
                self.end_trial(trial.slot, status, tags=tags, step=left[trial.slot], errors=trial.errors, title=title)

    def _append(self, event: str, planned: str, **content: Any) -> None:
        self._patience.call(
            self._spool.append, {"event": event, "slot": planned, "time_ms": int(time.time() * 1000), **content}
        )


def _metrics(record: Mapping[str, Any]) -> dict[str, Any]:
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


def score_metrics(errors: Mapping[str, Any], baseline: Baseline) -> dict[str, float]:
    """Return a trial's scores as MLflow metrics, ratios; the relative ones where the baseline does worse than on clean
    images.

    Raises:
        InputError: the baseline lacks a corruption, or is over other severities.
    """
    scores = corruption_scores(rows_to_table(errors["test"]["corrupted"]), errors["test"]["clean"], baseline)
    found = {Metric.MEAN_CE: scores.mCE, Metric.RELATIVE_MEAN_CE: scores.rCE}
    found |= {Metric.ce(name): ratio for name, ratio in (scores.CE or {}).items()}
    found |= {Metric.relative_ce(name): ratio for name, ratio in (scores.rCE_by_corruption or {}).items()}
    return {name: value for name, value in found.items() if value is not None}
