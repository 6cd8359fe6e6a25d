"""The light trial: a Ray Tune function that holds no CPU or GPU, walks its stages and reports.

It imports neither torch nor MLflow nor Optuna: a trial is a few megabytes of waiting.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError

from engine.orchestration.cluster.names import BROKER_NAMESPACE, REPORT
from engine.stages.spec import StageSpec
from engine.stages.store import Store

POLL_S = 20.0
MAX_REPLAYED = 8
MAX_RECOMPUTED = 3


def run_trial(config: Mapping[str, Any]) -> None:
    """Walk a trial's stages through the broker.

    Args:
        config: {"plan": JSON of {"trial", "broker", "store", "stages": [spec], "step_bases": {stage: first step}}}.

    Every report has "records": [{"stage", "step", "epoch", "value", "own", …}]; the last one has "objective" and the
    stages' keys, or "failure".
    """
    plan = json.loads(config["plan"])
    walk = _Walk(plan)
    try:
        walk.to_the_end()
    finally:
        walk.release()


class _Walk:
    """One trial's way through its stages."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.trial: str = plan["trial"]
        self.stages = [StageSpec.from_json(spec) for spec in plan["stages"]]
        self.step_bases: Mapping[str, int] = plan["step_bases"]
        self.store = Store(plan["store"])
        self.broker_name: str = plan["broker"]
        self.broker = ray.get_actor(self.broker_name, namespace=BROKER_NAMESPACE)
        self.summaries: dict[str, dict[str, Any]] = {}
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
                }
                position += 1
            elif end.get("missing") and self.n_recomputed < MAX_RECOMPUTED:
                self.n_recomputed += 1
                self._call("forget", end["missing"])
                self._call("forget", spec.key)
                position = 0  # from the start again: what is whole is found at once
            else:
                _report({"records": [], "failure": end["reason"], "stages": self.summaries})
                return
        artifact = self.store.find(self.stages[-1].key)
        if artifact is None:
            _report({"records": [], "failure": "the last stage's artifact is gone", "stages": self.summaries})
            return
        errors = artifact.json("errors")
        _report({"records": [], "objective": errors["objective"], "errors": errors, "stages": self.summaries})

    def release(self) -> None:
        """Tell the broker that this trial wants nothing any more."""
        try:
            ray.get(self.broker.release.remote(self.trial), timeout=5)
        except Exception:  # the trial is over either way, and the driver releases it too
            return

    def _follow(self, spec: StageSpec, depth: int) -> dict[str, Any]:
        """Ask for a stage and report its epochs until it ends; return the broker's last word."""
        followers = [later.stage for later in self.stages[depth + 1 :]]
        self._call("submit", self.trial, spec.to_json(), depth, followers)
        heard, already = 0, spec.stage in self.summaries
        while True:
            news = self._call("follow", self.trial, spec.key, heard, POLL_S)
            if news["state"] == "unknown":  # the broker was restarted
                self._call("submit", self.trial, spec.to_json(), depth, followers)
                continue
            heard += len(news["records"])
            if news["records"] and not already:
                records = _thinned(news["records"]) if len(news["records"]) > MAX_REPLAYED else news["records"]
                _report({"records": [self._record(spec, record, own=news["own"]) for record in records]})
            if news["state"] in ("done", "failed"):
                return news

    def _record(self, spec: StageSpec, record: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
        return {
            **record,
            "stage": spec.stage,
            "step": self.step_bases.get(spec.stage, 0) + record["epoch"],
            "value": record["probe_error"],
            "own": own,
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
    stride = len(records) / MAX_REPLAYED
    return [records[round((place + 1) * stride) - 1] for place in range(MAX_REPLAYED)]
