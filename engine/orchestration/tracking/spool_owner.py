"""Which tracker a study's events are for: a note beside its spool, so that no other tracker gets them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.orchestration.tracking.mlflow_tracker import NAME as MLFLOW
from engine.orchestration.tracking.spool import Spool
from engine.redaction import hide_credentials
from engine.report.commands import sync_command
from engine.whole_files import written_whole


@dataclass(frozen=True)
class SpoolOwner:
    """What a study's events are for.

    Attributes:
        tracker: the tracker's name.
        uri: ``--tracking-uri`` without credentials; None if it was not given.
        imports: the user's modules, one of which may register it.
    """

    tracker: str = MLFLOW
    uri: str | None = None
    imports: tuple[str, ...] = ()

    def command(self, home: Path) -> str:
        """Return the command that writes waiting events to it."""
        return sync_command(home, self.uri, self.tracker, self.imports)


def owner_of(spool: Path) -> SpoolOwner:
    """Return which tracker a spool's events are for; one without a note is older, and MLflow's.

    Raises:
        InputError: the note is damaged.
    """
    note = _note(spool)
    try:
        given = json.loads(note.read_text())
        return SpoolOwner(str(given["tracker"]), given["uri"], tuple(given["imports"]))
    except FileNotFoundError:
        return SpoolOwner()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{note} does not say which tracker the events beside it are for: remove it if that is MLflow"
        ) from error


def check_owner(home: Path, study: str, tracker: str) -> None:
    """Make sure that a sweep's tracker may have a study's events.

    Raises:
        InputError: some wait for another one.
    """
    path = spool_path(home, study)
    if not path.exists() or (owner := owner_of(path)).tracker == tracker:
        return
    n_waiting = Spool(path).n_waiting()
    if n_waiting:
        raise InputError(
            f"{n_waiting} events of study {study} wait for tracker {owner.tracker!r}, and would be lost to it with "
            f"--tracker {tracker}: write them first with: {owner.command(home)}"
        )


def note_owner(spool: Spool, owner: SpoolOwner) -> None:
    """Note which tracker a study's events are for; a new one is told the study from its beginning."""
    if owner_of(spool.path).tracker != owner.tracker:
        spool.mark(0)  # before the note: until it is there, the events wait for the tracker that knows them
    note = _note(spool.path)
    uri = None if owner.uri is None else hide_credentials(owner.uri)
    with written_whole(note) as scratch:
        scratch.write_text(json.dumps({"tracker": owner.tracker, "uri": uri, "imports": list(owner.imports)}))


def spool_path(home: Path, study: str) -> Path:
    """Return where a study's events are."""
    return home / "tracking" / f"{study}.jsonl"


def _note(spool: Path) -> Path:
    return spool.with_suffix(".tracker")
