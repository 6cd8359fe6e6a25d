"""The light trial: a Ray Tune function that holds no CPU or GPU, walks its stages and reports.

It imports neither torch nor MLflow nor Optuna: a trial is a few megabytes of waiting.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError

from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE, REPORT
from engine.result_names import PROBE_ERROR, Metric
from engine.stages.spec import StageSpec

POLL_S = 20.0
MAX_REPLAYED = 20
"""Epochs of a stage that had run before which are told at most: of a long training the study needs no more."""
MAX_RECOMPUTED = 3
HOLD_S = 10.0
"""How long a process's first trial waits, at its end, for another trial to arrive."""
MAX_HOLD_S = 300.0
"""How long a trial that has ended waits at most for the next ones, which depend on the results of others."""
_ENDED = {"state": "failed", "reason": "the sweep has ended this trial"}
"""What is said instead of a stage's end to a trial that the driver has released already."""
_served: list[str] = []
"""The trials that this process has served."""


def run_trial(config: Mapping[str, Any]) -> None:
    """Walk a trial's stages through the broker.

    Args:
        config: {"plan": JSON of {"trial", "broker", "stages": [spec], "judged": key of the one that has the errors,
            "step_bases": {stage: steps before it}, "by_cells": whether cells are compared, "n_together": trials that
            are to be open at once}}.

    Every report has "records", each an ``EpochRecord`` or a ``CellsRecord``; the last one has "objective" and the
    stages' keys, or "failure" and the "stage" that failed; with "infrastructure" where the machines did, not the stage,
    and "hopeless" where no stage can be run. An epoch that another sweep has run may be of another probe.
    """
    walk = _Walk(json.loads(config["plan"]))
    try:
        walk.to_the_end()
        walk.wait_for_others()
    finally:
        walk.release()


class _Walk:
    """One trial's way through its stages."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.trial: str = plan["trial"]
        self.stages = [StageSpec.from_json(spec) for spec in plan["stages"]]
        self.judged: StageSpec = next(spec for spec in self.stages if spec.key == plan["judged"])
        self.step_bases: Mapping[str, int] = plan["step_bases"]
        self.by_cells: bool = plan["by_cells"]
        self.n_together: int = plan["n_together"]
        self.broker_name: str = plan["broker"]
        self.broker = ray.get_actor(self.broker_name, namespace=BROKER_NAMESPACE)
        self.summaries: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Mapping[str, Any]] = {}
        self.n_recomputed = 0

    def to_the_end(self) -> None:
        """Follow every stage; report the objective, or why there is none."""
        position = 0
        while position < len(self.stages):
            spec = self.stages[position]
            end = self._follow(spec, position)
            if end["state"] == "done":
                self.summaries[spec.stage] = {
                    "key": spec.key,
                    "seconds": end["seconds"],
                    "from_store": end["from_store"],
                    "own": end["own"],
                    "host": end["host"],
                }
                self.values[spec.stage] = end["values"]
                position += 1
            elif end.get("missing") and self.n_recomputed < MAX_RECOMPUTED:
                self.n_recomputed += 1
                for known in self.stages:  # where one was cleaned up, others may have been
                    self._call("forget", known.key)
                position = 0  # from the start again: what is whole is found at once
            else:
                of = {name: bool(end.get(name)) for name in ("infrastructure", "hopeless")}
                word = {"failure": end["reason"], "stage": spec.stage, "stages": self.summaries}
                _report({"records": [], **word, **of})
                return
        errors = self._errors()
        if errors is None:
            reason = f"{self.judged.stage} has ended without saying what the trial came to (errors.json)"
            _report({"records": [], "failure": reason, "stage": self.judged.stage, "stages": self.summaries})
            return
        _report({"records": [], "objective": errors["objective"], "errors": errors, "stages": self.summaries})

    def _errors(self) -> dict[str, Any] | None:
        """Return what the trial came to, with what stages measured beside it as "metrics": {"stage/name": number}.

        All of it is what the stages themselves said when they were done. None where the judged one said nothing.
        """
        errors = self.values[self.judged.stage].get("errors")
        if errors is None:
            return None
        metrics = {
            Metric.of_stage(stage, name): value
            for stage, values in self.values.items()
            for name, value in values.get("metrics", {}).items()
        }
        return errors | ({"metrics": metrics} if metrics else {})

    def wait_for_others(self) -> None:
        """Wait, before a process's first trial ends, until the processes of the others have been started.

        Tune gives the process of a trial that ends to one whose own is being started, and kills that. Where trials end
        faster than processes start, there would never be enough of them. And where no trial waits for a process, Tune
        ends it: while the next trials depend on the results of others, those that have ended wait for them.
        """
        end = time.monotonic() + MAX_HOLD_S
        while self._call("ends_are_held", POLL_S) and time.monotonic() < end:
            pass
        _served.append(self.trial)
        while len(_served) == 1:
            arrived = self._call("arrivals")
            if arrived["trials"] >= self.n_together or arrived["quiet_s"] > HOLD_S:
                return
            time.sleep(0.5)

    def release(self) -> None:
        """Tell the broker that this trial wants nothing any more."""
        try:
            ray.get(self.broker.release.options(max_task_retries=0).remote(self.trial), timeout=5)
        except Exception:  # the trial is over either way, and the driver releases it too
            return

    def _follow(self, spec: StageSpec, depth: int) -> dict[str, Any]:
        """Ask for a stage and report its epochs until it ends; return the broker's last word."""
        followers = [later.stage for later in self.stages[depth + 1 :]]
        if not self._call("submit", self.trial, spec.to_json(), depth, followers):
            return _ENDED
        heard, already = 0, spec.stage in self.summaries
        while True:
            news = self._call("follow", self.trial, spec.key, heard, POLL_S)
            if news["state"] == "unknown":  # the broker was restarted
                if not self._call("submit", self.trial, spec.to_json(), depth, followers):
                    return _ENDED
                continue
            heard += len(news["records"])
            records = _thinned([record for record in news["records"] if self.by_cells or "cells" not in record])
            if records and not already:
                _report({"records": [self._record(spec, record, own=news["own"]) for record in records]})
            if news["state"] in ("done", "failed"):
                return news

    def _record(self, spec: StageSpec, record: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
        own_watch = record.get("watch") == spec.watch_digest
        known = {**record, "stage": spec.stage, "own": own, "own_watch": own_watch}
        if "cells" in record:
            return known
        return {
            **known,
            "step": self.step_bases.get(spec.stage, 0) + record["epoch"],
            "value": record.get(PROBE_ERROR, math.nan),
        }

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the broker; while it is being restarted, wait and try again."""
        for pause_s in (0.5, 1, 2, 4, 8, None):
            try:
                return ray.get(getattr(self.broker, method).remote(*arguments))
            except RayActorError:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        raise AssertionError("unreachable")


def _report(value: Mapping[str, Any]) -> None:
    tune.report({REPORT: [dict(value)]})


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most ``MAX_REPLAYED`` records of a replayed history, evenly spread, the last among them."""
    if len(records) <= MAX_REPLAYED:
        return records
    stride = len(records) / MAX_REPLAYED
    return [records[round((place + 1) * stride) - 1] for place in range(MAX_REPLAYED)]
