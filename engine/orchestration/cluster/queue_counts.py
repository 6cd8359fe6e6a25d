"""What a queue counts: which stages ran, which were shared or found, and the seconds that this saved."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine.orchestration.cluster.wanted_stage import WantedStage
from engine.orchestration.cluster.worker_roster import WorkerRoster


class QueueCounts:
    """Counts stages and their seconds."""

    def __init__(self) -> None:
        self._n_run = 0
        self._n_shared = 0
        self._n_from_store = 0
        self._run_seconds = 0.0

    def take_asker(self, stage: WantedStage) -> None:
        """Take that one more trial wants a stage."""
        if stage.from_store and len(stage.all_askers) == 1:
            self._n_from_store += 1
        elif len(stage.all_askers) > 1 and stage.state != "failed":
            self._n_shared += 1

    def take_end(self, stage: WantedStage, seconds: float) -> None:
        """Take that a stage is done, and how long its last run took."""
        if stage.from_store:
            self._n_from_store += 1
        elif stage.shared:
            self._n_shared += 1
        else:
            self._n_run += 1
            self._run_seconds += seconds

    def statistics(self, stages: Collection[WantedStage], workers: WorkerRoster) -> dict[str, Any]:
        """Return counts and times: of what was counted so far, and of how stages and workers stand now."""
        states = [stage.state for stage in stages]
        saved = sum(
            stage.seconds * (len(stage.all_askers) - (0 if stage.from_store or stage.shared else 1))
            for stage in stages
            if stage.state == "done"
        )
        return {
            "workers": len(workers),
            "idle": len(workers.idle),
            "unplaced": workers.n_unplaced,
            "queued": states.count("queued"),
            "running": states.count("running"),
            "elsewhere": states.count("elsewhere"),
            "done": states.count("done"),
            "run": self._n_run,
            "run_seconds": self._run_seconds,
            "shared": self._n_shared,
            "from_store": self._n_from_store,
            "saved_seconds": saved,
            "lost_workers": sum(stage.losses for stage in stages),
        }
