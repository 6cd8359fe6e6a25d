"""A sweep's own part in the tracking: its beginning, its end with answer and network, and what writes all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.exporting.exported import WEIGHTS
from engine.exporting.taken_home import take_home
from engine.metrics import Baseline
from engine.orchestration.databases.patience import Patience
from engine.orchestration.tracking.events import TrackingEvents
from engine.orchestration.tracking.mlflow_tracker import NAME as MLFLOW
from engine.orchestration.tracking.origin import Origin
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.spool_owner import SpoolOwner, note_owner, spool_path
from engine.orchestration.tracking.tracker_kinds import TrackerRequest
from engine.orchestration.tracking.writing_process import TrackingProcess
from engine.report.exported_trial import exported_trial
from engine.report.markdown import escaped
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.result_names import Metric, RunArtifact, Tag
from engine.spaces import Space
from engine.spaces.arms import WINNER
from engine.store import CorruptArtifactError, Store, StoreFaultError

WAIT_S = 120.0
"""How long the end of a sweep waits for what is left to be written."""


class SweepTracking:
    """Tells the tracking of a sweep.

    Args:
        study: its name.
        space: what is explored.
        home: the sweep's folder.
        owner: the tracker that its events are for.
        baseline: what the scores of trials are ratios to, if they are wanted.
        patience: waits for a disk that is full.
        origin: where the runs come from.

    Attributes:
        events: hears of the trials.
    """

    def __init__(
        self,
        study: str,
        space: Space,
        home: Path,
        owner: SpoolOwner,
        *,
        baseline: Baseline | None,
        patience: Patience,
        origin: Origin,
    ) -> None:
        self._study = study
        self._space = space
        self._home = home
        self._owner = owner
        self._patience = patience
        self._origin = origin
        self._spool = Spool(spool_path(home, study))
        self.events = TrackingEvents(self._spool, baseline, patience, origin)
        request = TrackerRequest(study, home, owner.uri)
        self._writer = TrackingProcess(owner.tracker, request, self._spool, imports=owner.imports)

    @property
    def experiment(self) -> str:
        """Return where the sweep's runs are in MLflow; "" before that is known, and for another tracker."""
        return self._writer.experiment if self._is_mlflow else ""

    @property
    def waits(self) -> str:
        """Return why nothing can be written now; "" while it can."""
        return self._writer.last_error

    @property
    def _is_mlflow(self) -> bool:
        return self._owner.tracker == MLFLOW

    def begin(self, params: Mapping[str, Any], so_far: Iterable[TrialResult]) -> None:
        """Tell of the beginning, and of the ends of trials that a driver which died had no time to tell.

        Args:
            params: what the record says of the options.
            so_far: the study's trials.
        """
        space = self._space
        self._patience.call(note_owner, self._spool, self._owner)
        self.events.start_sweep(
            self._study,
            params={"space": space.name, "data": space.base.data.name, **params},
            tags={
                Tag.SPACE_DIGEST: space.digest,
                Tag.GIT_COMMIT: self._origin.commit or "unknown",
                Tag.NOTE: escaped(space.description),
            },
            varied=[*(axis.setting for axis in space.axes), *(path for arm in space.arms for path in arm.settings)],
        )
        self.events.make_up(so_far)

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def prepare_end(self, *, with_winner: bool) -> None:
        """Import what the end will take.

        Args:
            with_winner: whether there may be a winner, whose network MLflow keeps.
        """
        self._writer.prepare_end(with_network=with_winner and self._is_mlflow)

    def end(
        self, results: Results, status: str, statistics: Mapping[str, Any], texts: Mapping[str, str], store: Store
    ) -> None:
        """Tell of the end: nothing comes any more.

        Args:
            results: of the study.
            status: "FINISHED", or "KILLED" where something is left to run.
            statistics: {name: number} of the stages that ran.
            texts: {file: content}.
            store: has the winner's weights.
        """
        if status == "FINISHED" and not results.with_state("COMPLETE"):
            status = "FAILED"
        metrics = {Metric.stages(name): float(value) for name, value in statistics.items()}
        best = results.best()
        if best is not None and best.objective is not None:
            metrics[Metric.BEST_OBJECTIVE] = best.objective
        network, why_none = self._winner_network(results, store) if status == "FINISHED" else (None, "")
        self.events.end_sweep(status, metrics, texts, self._figures(results), network=network, no_network=why_none)
        self.finish()

    def finish(self) -> None:
        """Have written what is left. ``close`` waits for it."""
        self._writer.finish()

    def close(self) -> str:
        """Wait until all is written, for a while; return what is to be done where it is not, in a sentence, or ""."""
        if self._writer.close(WAIT_S):
            return ""
        n_waiting, place = self._spool.n_waiting(), self._spool.path
        return (
            f"tracking is behind ({self.waits or 'slow'}): {n_waiting} events wait in {place}; "
            f"once the server answers, write them with: {self._owner.command(self._home)}"
        )

    def _figures(self, results: Results) -> dict[str, Any]:
        """Return the arms' errors, which the process draws."""
        groups = {
            f"{group.name} ({group.count})": [
                trial.errors["test"]["corrupted"] for trial in group.trials if trial.errors
            ]
            for group in results.groups()
        }
        if not any(groups.values()):
            return {}
        title = f"{self._study}: {self._space.description}"
        return {RunArtifact.ARMS_BY_SEVERITY: {"kind": "groups_by_severity", "groups": groups, "title": title}}

    def _winner_network(self, results: Results, store: Store) -> tuple[dict[str, str] | None, str]:
        """Write the winner's network into the sweep's folder; return where, or why it could not be done."""
        if not self._is_mlflow or not any(group.name == WINNER for group in results.groups()):
            return None, ""
        try:
            exported = exported_trial(results, WINNER)
            place = Path("networks") / f"{self._study}-trial-{exported.trial.number}"
            folder = self._home / place
            if not (folder / WEIGHTS).exists():
                folder.parent.mkdir(exist_ok=True)
                take_home(results, exported, store, folder, formats=("safetensors",))
        except (InputError, CorruptArtifactError, StoreFaultError, OSError) as error:
            return None, f"{type(error).__name__}: {error}"
        return {"slot": exported.trial.slot, "folder": place.as_posix()}, ""
