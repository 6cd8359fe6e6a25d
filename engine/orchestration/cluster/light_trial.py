"""The light trial: a coroutine that walks a trial's stages through the broker and says what comes of them.

It imports neither torch nor MLflow nor Optuna, and holds nothing: a trial is a few kilobytes of waiting.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayActorError

from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE
from engine.result_names import PROBE_ERROR, Metric
from engine.stages.spec import StageSpec

POLL_S = 20.0
MAX_REPLAYED = 20
"""Epochs of a stage that had run before which are told at most: of a long training the study needs no more."""
MAX_RECOMPUTED = 3
_ENDED = {"state": "failed", "reason": "the sweep has ended this trial", "told": ()}
"""What is said instead of a stage's end to a trial that the driver has released already."""


async def walk_trial(config: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Walk a trial's stages through the broker, and give its reports.

    Args:
        config: {"plan": JSON of {"trial", "broker", "stages": [spec], "judged": key of the one that has the errors,
            "step_bases": {stage: steps before it}, "by_cells": whether cells are compared}}.

    Every report has "records", each an ``EpochRecord`` or a ``CellsRecord``; the last one has "objective" and the
    stages' keys, or "failure" and the "stage" that failed; with "infrastructure" where the machines did, not the stage,
    and "hopeless" where no stage can be run. An epoch that another sweep has run may be of another probe.
    """
    async for report in _Walk(json.loads(config["plan"])).reports():
        yield report


class _Walk:
    """One trial's way through its stages."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.trial: str = plan["trial"]
        self.stages = [StageSpec.from_json(spec) for spec in plan["stages"]]
        self.judged: StageSpec = next(spec for spec in self.stages if spec.key == plan["judged"])
        self.step_bases: Mapping[str, int] = plan["step_bases"]
        self.by_cells: bool = plan["by_cells"]
        self.broker: Any = ray.get_actor(plan["broker"], namespace=BROKER_NAMESPACE)
        self.summaries: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Mapping[str, Any]] = {}
        self.n_recomputed = 0

    async def reports(self) -> AsyncIterator[dict[str, Any]]:
        """Follow every stage; give its epochs, and at last the objective, or why there is none."""
        position = 0
        while position < len(self.stages):
            spec, end = self.stages[position], {}
            async for news in self._follow(spec, position):
                end = news
                if records := news.pop("told"):
                    yield {"records": records}
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
                    await self._call("forget", known.key)
                position = 0  # from the start again: what is whole is found at once
            else:
                of = {name: bool(end.get(name)) for name in ("infrastructure", "hopeless")}
                word = {"failure": end["reason"], "stage": spec.stage, "stages": self.summaries}
                yield {"records": [], **word, **of}
                return
        errors = self._errors()
        if errors is None:
            reason = f"{self.judged.stage} has ended without saying what the trial came to (errors.json)"
            yield {"records": [], "failure": reason, "stage": self.judged.stage, "stages": self.summaries}
            return
        yield {"records": [], "objective": errors["objective"], "errors": errors, "stages": self.summaries}

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

    async def _follow(self, spec: StageSpec, depth: int) -> AsyncIterator[dict[str, Any]]:
        """Ask for a stage and give the broker's words until it ends, each with the epochs that are to be "told"."""
        followers = [later.stage for later in self.stages[depth + 1 :]]
        if not await self._call("submit", self.trial, spec.to_json(), depth, followers):
            yield dict(_ENDED)
            return
        heard, already = 0, spec.stage in self.summaries
        while True:
            news = await self._call("follow", spec.key, heard, POLL_S)
            if news["state"] == "unknown":  # the broker was restarted
                if not await self._call("submit", self.trial, spec.to_json(), depth, followers):
                    yield dict(_ENDED)
                    return
                continue
            heard += len(news["records"])
            records = _thinned([record for record in news["records"] if self.by_cells or "cells" not in record])
            told = [] if already else [self._record(spec, record, own=news["own"]) for record in records]
            yield {**news, "told": told}
            if news["state"] in ("done", "failed"):
                return

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

    async def _call(self, method: str, *arguments: Any) -> Any:
        """Call the broker; while it is being restarted, wait and try again."""
        for pause_s in (0.5, 1, 2, 4, 8, None):
            try:
                return await getattr(self.broker, method).remote(*arguments)
            except RayActorError:
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most ``MAX_REPLAYED`` records of a replayed history, evenly spread, the last among them."""
    if len(records) <= MAX_REPLAYED:
        return records
    stride = len(records) / MAX_REPLAYED
    return [records[round((place + 1) * stride) - 1] for place in range(MAX_REPLAYED)]
