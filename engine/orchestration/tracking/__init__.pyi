"""The names of engine.orchestration.tracking, for editors and type checkers: `python -m tests.test_stubs`."""

from engine.orchestration.tracking.events import TrackingEvents
from engine.orchestration.tracking.mlflow_tracker import MlflowWriter
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.spool_writer import SpoolWriter
from engine.orchestration.tracking.tracker_kinds import TrackerRequest, Writer, draw_figure, register_tracker
from engine.orchestration.tracking.trackers import TRACKERS, check_tracker
from engine.orchestration.tracking.writing_process import TrackingProcess

__all__ = [
    "TRACKERS",
    "MlflowWriter",
    "Spool",
    "SpoolWriter",
    "TrackerRequest",
    "TrackingEvents",
    "TrackingProcess",
    "Writer",
    "check_tracker",
    "draw_figure",
    "register_tracker",
]
