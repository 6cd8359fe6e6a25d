"""MLflow's room: events on disk, and the one writer that turns them into runs, in a process of its own."""

from engine._lazy import lazy_names

_MODULES = {
    "Spool": "engine.orchestration.tracking.spool",
    "Tracker": "engine.orchestration.tracking.tracker",
    "TrackingProcess": "engine.orchestration.tracking.process",
    "TrackingWriter": "engine.orchestration.tracking.writer",
    "check_tracking": "engine.orchestration.tracking.writer",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
