"""Trackers' room: events on disk, and what turns them into the runs of MLflow or of another tracker, in its process."""

from engine._lazy import lazy_names

_MODULES = {
    "MlflowWriter": "engine.orchestration.tracking.mlflow_tracker",
    "Spool": "engine.orchestration.tracking.spool",
    "SpoolWriter": "engine.orchestration.tracking.spool_writer",
    "TRACKERS": "engine.orchestration.tracking.trackers",
    "TrackerRequest": "engine.orchestration.tracking.tracker_kinds",
    "TrackingEvents": "engine.orchestration.tracking.events",
    "TrackingProcess": "engine.orchestration.tracking.writing_process",
    "Writer": "engine.orchestration.tracking.tracker_kinds",
    "check_tracker": "engine.orchestration.tracking.trackers",
    "draw_figure": "engine.orchestration.tracking.tracker_kinds",
    "register_tracker": "engine.orchestration.tracking.tracker_kinds",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
