"""MLflow's room: events on disk, and the one writer that turns them into runs."""

from engine.orchestration.tracking.replay import Replayed, replay
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.tracker import Tracker
from engine.orchestration.tracking.writer import TrackingWriter, check_tracking

__all__ = ["Replayed", "Spool", "Tracker", "TrackingWriter", "check_tracking", "replay"]
