"""Sweeps whose trials compute nothing: one stage each, which comes to what a test has written into its plan."""

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from engine.orchestration.cluster.stage_summary import summary_of
from engine.orchestration.preparation import Prepared
from engine.orchestration.sweep import Sweep
from engine.report.measurement import Measurement
from engine.settings import TrialConfig
from engine.stages import TrialPlan
from engine.stages.spec import StageSpec
from engine.store.store import Store


class ScriptedWorker:
    """A stage worker that comes to the "objective" of a stage's settings, or fails with their "failure"."""

    def __init__(self, *, store: str, **_: Any) -> None:
        self._store = Store(store)

    def ready(self) -> dict[str, str]:
        """Return its node, and that nothing is wrong."""
        import ray

        return {"node": ray.get_runtime_context().get_node_id(), "fault": ""}

    def run(self, spec_json: Mapping[str, Any], *_: Any) -> dict[str, Any]:
        """Return how the stage ended."""
        spec = StageSpec.from_json(spec_json)
        time.sleep(spec.settings["seconds"])
        if "failure" in spec.settings:
            return {"state": "failed", "reason": spec.settings["failure"], "seconds": 0.0}
        error = spec.settings["objective"]
        row = {"corruption": "gaussian_noise", "severity": 1, "error": error}
        on_images = {"clean": error, "corrupted": [row]}
        errors = {"objective": error, "validation": on_images, "test": {**on_images, "tuned_distortion": None}}
        with self._store.attempt(spec.key) as attempt:
            attempt.write_json("errors", errors)
            manifest = {"spec": spec.to_json(), "history": [], "started_at": time.time(), "seconds": 0.0}
            artifact = self._store.publish(attempt, manifest)
        return {**summary_of(artifact), "state": "done", "from_store": False}


class Scripted(Prepared):
    """A prepared sweep whose trials come to what ``script`` makes of their configuration.

    Attributes:
        script: gives {"objective": error} or {"failure": words} of a configuration.
        seconds: how long each trial takes.
    """

    script: Callable[[TrialConfig], dict[str, Any]]
    seconds: float
    measurement = Measurement(("gaussian_noise",), ("gaussian_noise",), (1,))  # of the worker's records

    @classmethod
    def of(
        cls, prepared: Prepared, script: Callable[[TrialConfig], dict[str, Any]], *, seconds: float = 0.0
    ) -> "Scripted":
        """Return the scripted form of a sweep."""
        sweep = cls(**{field.name: getattr(prepared, field.name) for field in fields(Prepared)})
        object.__setattr__(sweep, "script", script)
        object.__setattr__(sweep, "seconds", seconds)
        return sweep

    def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
        """Return the one stage."""
        settings = {**self.script(config), "trial": config.digest, "seconds": self.seconds}
        numerics = {"device": device}
        return TrialPlan(config, (StageSpec("evaluate", 1, settings, {}, self.info.key, None, numerics),))


class ScriptedSweep(Sweep):
    """A sweep with workers that follow the script."""

    worker = ScriptedWorker
