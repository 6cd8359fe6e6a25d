"""Trackers by name: the project's own, and those that a user's modules have registered."""

from __future__ import annotations

from engine.errors import InputError
from engine.orchestration.tracking import mlflow_tracker
from engine.orchestration.tracking.tracker_kinds import TRACKERS, TrackerRequest, Writer

__all__ = ["TRACKERS", "check_tracker", "make_writer"]

assert mlflow_tracker.NAME in TRACKERS, "who asks for trackers finds the project's own among them"


def check_tracker(name: str, given: TrackerRequest) -> None:
    """Check all that can be checked of a tracker before a sweep starts.

    Raises:
        InputError: an unknown name, or what the tracker itself says cannot work.
    """
    TRACKERS[name].check(given)
    make_writer(name, given)


def make_writer(name: str, given: TrackerRequest) -> Writer:
    """Return what writes a study's events to a tracker.

    Raises:
        InputError: an unknown name, or a user's function that fails or gives no writer.
    """
    try:
        writer = TRACKERS[name].make(given)
    except InputError:
        raise
    except Exception as error:  # whatever a user's code raises
        raise InputError(f"tracker {name!r} fails: {type(error).__name__}: {error}") from error
    missing = [method for method in ("connect", "write", "drop") if not callable(getattr(writer, method, None))]
    if missing:
        raise InputError(f"tracker {name!r} must have the methods of `Writer`, and lacks {', '.join(missing)}")
    return writer
