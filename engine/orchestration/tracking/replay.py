"""Writing later what a tracking server did not take while a sweep ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.spool_owner import SpoolOwner, owner_of
from engine.orchestration.tracking.spool_writer import SpoolWriter, describe_error
from engine.orchestration.tracking.tracker_kinds import TrackerRequest
from engine.orchestration.tracking.trackers import make_writer


@dataclass(frozen=True)
class Replayed:
    """What came of a study's waiting events.

    Attributes:
        study: the study.
        n_written: events that were written now.
        n_waiting: events that still wait.
        reason: why they do; "" if none does.
        owner: the tracker that they are for, if that is another one: it was passed over.
    """

    study: str
    n_written: int
    n_waiting: int
    reason: str = ""
    owner: SpoolOwner | None = None


def replay(home: Path, tracker: str, uri: str | None) -> Iterator[Replayed]:
    """Write the waiting events of every study of a tracker whose sweep is not at work itself; yield what came of each.

    Args:
        home: the sweeps' folder.
        tracker: name of the tracker that the sweeps had.
        uri: its address; None for what it takes without one.
    """
    for path in sorted((home / "tracking").glob("*.jsonl")):
        spool = Spool(path)
        n_before = len(spool.pending()[0])
        owner = owner_of(path)
        if n_before and owner.tracker != tracker:
            yield Replayed(path.stem, 0, n_before, f"they are for tracker {owner.tracker!r}", owner)
        elif n_before:
            writer = SpoolWriter(make_writer(tracker, TrackerRequest(path.stem, home, uri)), spool)
            yield _replay_spool(writer, spool, n_before)


def _replay_spool(writer: SpoolWriter, spool: Spool, n_before: int) -> Replayed:
    study = spool.path.stem
    if not writer.lease.acquire():
        return Replayed(study, 0, n_before, "its sweep, or another sync, is writing them")
    try:
        return Replayed(study, writer.flush(), 0)
    except Exception as error:  # whatever the tracker raises: the events wait on
        n_waiting = len(spool.pending()[0])
        return Replayed(study, n_before - n_waiting, n_waiting, describe_error(error))
    finally:
        writer.lease.release()
