"""Trials under Tune, in the driver: scripted ones, whose searcher and scheduler are the engine's."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from ray import tune

from engine.orchestration.cluster import tune_run
from engine.orchestration.cluster.tune_run import MAX_FAULTS, run_trials
from tests.chaos.processes import descendants

LIMIT = "TUNE_MAX_PENDING_TRIALS_PG"


@pytest.mark.parametrize("before", [None, "7"])
def test_tunes_limit_of_waiting_trials_is_set_for_the_sweep_alone(tmp_path, monkeypatch, before) -> None:
    seen = []

    class FakeTuner:
        def __init__(self, *_, **__) -> None:
            pass

        def fit(self) -> None:
            seen.append(os.environ[LIMIT])
            raise KeyboardInterrupt

    monkeypatch.setattr(tune, "Tuner", FakeTuner)
    monkeypatch.delenv(LIMIT, raising=False)
    if before is not None:
        monkeypatch.setenv(LIMIT, before)
    with pytest.raises(KeyboardInterrupt):
        run_trials(None, n_trials=12, folder=tmp_path, name="sweep")
    assert seen == ["12"]
    assert os.environ.get(LIMIT) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "trials"], "they end with their driver"


class Handler:
    """Gives out scripted trials, two at a time, and hears them."""

    def __init__(self, scripts: list[str]) -> None:
        self.scripts = list(scripts)
        self.heard: dict[str, list[Any]] = {script: [] for script in scripts}
        self.ends: dict[str, bool] = {}
        self.live: dict[str, str] = {}

    @property
    def finished(self) -> bool:
        return not self.scripts

    def next_trial(self, trial_id: str) -> dict[str, Any] | None:
        if not self.scripts or len(self.live) >= 2:
            return None
        self.live[trial_id] = self.scripts.pop(0)
        return {"script": self.live[trial_id]}

    def on_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        script = self.live[trial_id]
        self.heard[script].append(result["value"])
        return script == "pruned" and result["value"] == 2

    def on_end(self, trial_id: str, *, error: bool) -> None:
        self.ends[self.live.pop(trial_id)] = error

    def on_stop(self) -> None:
        self.heard["stop"] = []


def test_trials_run_in_the_driver_and_each_comes_to_its_own_end(tmp_path, monkeypatch, ray_session) -> None:
    begun, left = [], []

    async def walk(config: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        script = config["script"]
        begun.append(script)
        yield {"value": 1}
        await asyncio.sleep(0.01)
        if script == "broken" or (script == "mended" and begun.count(script) == 1):
            raise RuntimeError("it was told to")
        yield {"value": 2}
        if script == "waiting":
            return
        try:
            await asyncio.sleep(0 if script != "pruned" else 60)
        except asyncio.CancelledError:
            left.append(script)
            raise
        yield {"value": 3}

    monkeypatch.setattr(tune_run, "walk_trial", walk)
    handler = Handler(["whole", "pruned", "mended", "broken", "waiting", "last"])
    began = time.monotonic()
    run_trials(handler, n_trials=6, folder=tmp_path, name="sweep")
    assert time.monotonic() - began < 50, "nobody waits for a trial that was pruned"
    assert handler.heard == {
        "whole": [1, 2, 3],
        "pruned": [1, 2],
        "mended": [1, 1, 2, 3],
        "broken": [1] * (1 + MAX_FAULTS),
        "waiting": [1, 2],
        "last": [1, 2, 3],
    }
    assert handler.ends == {script: script == "broken" for script in handler.heard}
    assert not [process for process in descendants(os.getpid()) if process.title.startswith("ray::ImplicitFunc")]


def test_a_sweep_that_is_interrupted_waits_for_no_trial(tmp_path, monkeypatch, ray_session) -> None:
    left = []

    async def walk(config: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"value": 1}
        try:
            await asyncio.sleep(600)
        finally:
            left.append(config["script"])

    class Interrupted(Handler):
        def on_result(self, trial_id: str, result: dict[str, Any]) -> bool:
            super().on_result(trial_id, result)
            if sum(map(len, self.heard.values())) == 2:
                threading.Timer(0.3, os.kill, [os.getpid(), 2]).start()
            return False

    monkeypatch.setattr(tune_run, "walk_trial", walk)
    began = time.monotonic()
    handler = Interrupted(["one", "other"])
    with contextlib.suppress(KeyboardInterrupt):
        run_trials(handler, n_trials=2, folder=tmp_path, name="sweep")
    assert time.monotonic() - began < 60
    assert sorted(left) == ["one", "other"]
    assert "stop" in handler.heard, "it is said at once"
