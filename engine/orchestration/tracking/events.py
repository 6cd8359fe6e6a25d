"""What a sweep tells the tracking: each trial's start, epochs and end, as events for the spool."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.errors import InputError
from engine.metrics import Baseline, errors_as_csv
from engine.orchestration.databases.patience import Patience
from engine.orchestration.tracking.group_runs import group_metrics, group_status, table_tags
from engine.orchestration.tracking.origin import Origin
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.tracker_kinds import SWEEP, group_of
from engine.orchestration.tracking.trial_metrics import epoch_metrics, final_metrics, score_metrics
from engine.report.groups import GroupSummary
from engine.report.markdown import escaped
from engine.report.results import Results
from engine.report.trial_results import TrialResult, describe_settings
from engine.result_names import Metric, RunArtifact, Tag
from engine.spaces.arms import WINNER


class TrackingEvents:
    """Turns what happens into events. Every method returns at once, unless the disk is full.

    Args:
        spool: where the writer reads them.
        baseline: what the scores of trials are ratios to, if they are wanted.
        patience: waits for a disk that is full.
        origin: where the runs come from.
    """

    def __init__(
        self,
        spool: Spool,
        baseline: Baseline | None = None,
        patience: Patience | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._spool = spool
        self._baseline = baseline
        self._origin = origin or Origin()
        self._groups: set[str] = set()
        self._ended_groups: dict[str, dict[str, Any]] = {}

    def start_sweep(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, Any], varied: Iterable[str] = ()
    ) -> None:
        """Open the parent run; ``varied`` are the settings by which its trials differ."""
        self._start(SWEEP, name, params, tags, varied=list(dict.fromkeys(varied)))

    def end_sweep(
        self,
        status: str,
        metrics: Mapping[str, float],
        texts: Mapping[str, str],
        figures: Mapping[str, Any],
        *,
        network: Mapping[str, str] | None = None,
        no_network: str = "",
    ) -> None:
        """Close the parent run with its table and figure.

        Args:
            status: how it ends.
            metrics: of all of it.
            texts: files.
            figures: files.
            network: the winner's, {"slot": of its trial, "folder": where it lies, in the sweep's folder}.
            no_network: why there is none although there should be; "" if there is, or needs none.
        """
        content = {"network": dict(network)} if network else {}
        tags = {Tag.NETWORK: no_network} if no_network else {}
        texts, figures = dict(texts), dict(figures)
        self._append(
            "end", SWEEP, status=status, metrics=dict(metrics), tags=tags, texts=texts, figures=figures, **content
        )

    def start_trial(self, planned: str, number: int, config: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Open a trial's run with its configuration, below its group's if that has been started."""
        group = group_of(planned)
        parent = {"parent": group} if group in self._groups else {}
        self._start(planned, f"{number:03d} {planned}", config, tags, **parent)

    def start_group(self, planned: str, name: str, config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Open the run of the group that a trial is of, unless that was done.

        Args:
            planned: the trial.
            name: of the group; "" for the search's proposals, which share no configuration.
            config: the trial's configuration.
            settings: what of it is the group's own.
        """
        slot = group_of(planned)
        if slot in self._groups:
            return
        self._groups.add(slot)
        params = {path: value for path, value in config.items() if path != "seed"} if name else {}
        what = describe_settings(settings) or "the base as it is" if name else "what the search has proposed"
        tags = {
            Tag.PURPOSE: "group" if name else "search",
            Tag.GROUP: name or "proposal",
            Tag.NOTE: escaped(what),
        }
        self._start(slot, name or "proposals", params, tags)

    def end_group(self, group: GroupSummary, results: Results) -> None:
        """Close the run of an arm, or of the winner, with its row of the report's table.

        It may be told again; what has not changed since is not written again.
        """
        trials = [*group.trials, *group.failed]
        if not trials:
            return
        slot, first = group_of(trials[0].slot), trials[0]
        config = results.space.config(first.settings, seed=first.seed).flat()
        self.start_group(first.slot, group.name, config, first.settings)
        metrics, tags = group_metrics(group, self._baseline), table_tags(group, results)
        end = {"status": group_status(group), "metrics": metrics, "tags": tags}
        if self._ended_groups.get(slot) != end:
            self._append("end", slot, **end)
            self._ended_groups[slot] = end

    def end_groups(self, results: Results) -> None:
        """Close the runs of all groups: with what is in the report's table, or as a winner that is none any more."""
        groups = results.groups()
        for group in groups:
            self.end_group(group, results)
        shown = {group_of(trial.slot) for group in groups for trial in (*group.trials, *group.failed)}
        proposals = [trial for trial in results.trials if trial.slot.startswith("proposal/")]
        if proposals:
            self._end_search(proposals, results.best())
        for slot in sorted({group_of(trial.slot) for trial in results.trials if trial.group == WINNER} - shown):
            self._append("end", slot, status="FINISHED", metrics={}, tags={Tag.PURPOSE: "displaced"})
            self._ended_groups.pop(slot, None)

    def _end_search(self, proposals: Sequence[TrialResult], best: TrialResult | None) -> None:
        slot = group_of(proposals[0].slot)
        self.start_group(proposals[0].slot, "", {}, {})
        states = [trial.state for trial in proposals]
        metrics: dict[str, float] = {Metric.N: states.count("COMPLETE"), Metric.FAILED: states.count("FAIL")}
        if best is not None and best.objective is not None:
            metrics[Metric.BEST_OBJECTIVE] = best.objective
        count = f"{states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned, {states.count('FAIL')} failed"
        status = "FAILED" if set(states) == {"FAIL"} else "FINISHED"
        self._append("end", slot, status=status, metrics=metrics, tags={Tag.SEEDS: count})

    def epochs(self, planned: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Add epochs of any stage; steps count through all stages."""
        steps = [[record["step"], epoch_metrics(record)] for record in records]
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
            texts[RunArtifact.ERRORS] = errors_as_csv(rows, clean, errors["test"].get("calibration"))
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

    def _start(self, slot: str, name: str, params: Mapping[str, Any], tags: Mapping[str, Any], **content: Any) -> None:
        origin = {Tag.SOURCE: self._origin.source, Tag.GIT_COMMIT: self._origin.commit}
        known = {tag: value for tag, value in origin.items() if value}
        data = {"data": list(self._origin.data)} if self._origin.data else {}
        self._append("start", slot, name=name, params=dict(params), tags={**known, **tags}, **data, **content)

    def _append(self, event: str, planned: str, **content: Any) -> None:
        self._patience.call(
            self._spool.append, {"event": event, "slot": planned, "time_ms": int(time.time() * 1000), **content}
        )
