"""A stage worker that only waits. It imports no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from engine.orchestration.cluster.stage_summary import summary_of
from engine.stages.spec import StageSpec
from engine.store.opening import open_store


class SleepingWorker:
    """A stage worker that waits as long as a stage's settings say, and leaves what a trial's last stage leaves.

    It stands in for ``StageWorker`` in memory-bound measurements: torch alone takes 300 MB, and many workers share a
    machine here which have one each in earnest.
    """

    def __init__(self, *, store: str, **_: Any) -> None:
        self._store = open_store(store, patient=True)

    def ready(self) -> dict[str, str]:
        """Return its node, and that nothing is wrong."""
        import ray

        return {"node": ray.get_runtime_context().get_node_id(), "fault": ""}

    def run(self, spec_json: Mapping[str, Any], *_: Any) -> dict[str, Any]:
        """Wait, write an artifact, and return how it ended."""
        spec = StageSpec.from_json(spec_json)
        started, clock = time.time(), time.perf_counter()
        time.sleep(spec.settings["seconds"])
        row = {"corruption": "gaussian_noise", "severity": 1, "error": 0.5}
        errors = {
            "objective": 0.5,
            "validation": {"clean": 0.5, "corrupted": [row]},
            "test": {"clean": 0.5, "tuned_distortion": None, "corrupted": [row]},
        }
        seconds = round(time.perf_counter() - clock, 4)
        with self._store.attempt(spec.key) as attempt:
            attempt.write_json("errors", errors)
            artifact = self._store.publish(
                attempt, {"spec": spec.to_json(), "history": [], "started_at": started, "seconds": seconds}
            )
        return {**summary_of(artifact), "state": "done", "from_store": False}
