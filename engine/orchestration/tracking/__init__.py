"""MLflow's room: events on disk, and the one writer that turns them into runs, in a process of its own."""

from engine._lazy import lazy_names

_MODULES = {
    "Spool": "engine.orchestration.tracking.spool",
    "TrackingEvents": "engine.orchestration.tracking.events",
    "TrackingProcess": "engine.orchestration.tracking.writing_process",
    "MlflowTracker": "engine.orchestration.tracking.mlflow_tracker",
    "check_tracking": "engine.orchestration.tracking.mlflow_tracker",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
