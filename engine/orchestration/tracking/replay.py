"""Writing later what a tracking server did not take while a sweep ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.orchestration.tracking.mlflow_tracker import MlflowTracker, describe_error
from engine.orchestration.tracking.spool import Spool


@dataclass(frozen=True)
class Replayed:
    """What came of a study's waiting events.

    Attributes:
        study: the study.
        n_written: events that were written now.
        n_waiting: events that still wait.
        reason: why they do; "" if none does.
    """

    study: str
    n_written: int
    n_waiting: int
    reason: str = ""


def replay(home: Path, uri: str, *, artifacts: Path | None) -> Iterator[Replayed]:
    """Write the waiting events of every study whose sweep is not at work itself; yield what came of each.

    Args:
        home: the sweeps' folder.
        uri: MLflow tracking URI.
        artifacts: folder of the artifacts for a database on this machine; None for a server.
    """
    for path in sorted((home / "tracking").glob("*.jsonl")):
        spool = Spool(path)
        n_before = len(spool.pending()[0])
        if n_before:
            yield _replay_spool(spool, path.stem, uri, artifacts, n_before)


def _replay_spool(spool: Spool, study: str, uri: str, artifacts: Path | None, n_before: int) -> Replayed:
    writer = MlflowTracker(uri, study, spool, artifacts=artifacts)
    if not writer.lease.acquire():
        return Replayed(study, 0, n_before, "its sweep, or another sync, is writing them")
    try:
        return Replayed(study, writer.flush(), 0)
    except Exception as error:  # whatever MLflow raises: the events wait on
        n_waiting = len(spool.pending()[0])
        return Replayed(study, n_before - n_waiting, n_waiting, describe_error(error))
    finally:
        writer.lease.release()
