"""Events on disk, in order, until somebody has written them to the tracking server."""

from __future__ import annotations

import contextlib
import json
import math
import numbers
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.redaction import hide_credentials, hide_in
from engine.whole_files import written_whole


class Spool:
    """A file of JSON lines that grows at its end, and how far it was read.

    What is appended survives the process; what was read but not marked as done is read again. Credentials in addresses
    are not kept: an error's text may hold some.

    Args:
        path: the file; beside it lies ``.done`` with the offset in bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = path.with_suffix(".done")
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        _end_torn_line(path)
        self._offset = self._read_mark()

    def append(self, event: dict[str, Any]) -> None:
        """Add an event; of what JSON cannot hold, numbers that are not finite are left out, the rest is as words."""
        try:
            line = json.dumps(event, allow_nan=False)
        except (TypeError, ValueError):
            event = _as_json(event)
            line = json.dumps(event, allow_nan=False)
        if hide_credentials(line) != line:  # in each text by itself: its quotes are not the line's
            line = json.dumps(hide_in(event), allow_nan=False)
        line += "\n"
        with self._lock, self.path.open("a") as file:
            file.write(line)

    def pending(self, limit: int | None = None) -> tuple[list[dict[str, Any]], int]:
        """Return the events that are not done, and the offset to mark once they are.

        A last line that a dying process left incomplete is not returned.

        Args:
            limit: how many to return at most.
        """
        events: list[dict[str, Any]] = []
        offset = self._offset
        with self._lock, self.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n") or (limit is not None and len(events) >= limit):
                    break
                offset += len(line)
                try:
                    events.append(json.loads(line))
                except ValueError:
                    continue  # a line that a dying process left torn
        return events, offset

    def n_waiting(self) -> int:
        """Return how many events are not done, by whichever process."""
        self._offset = self._read_mark()
        return len(self.pending()[0])

    def all_events(self) -> Iterator[dict[str, Any]]:
        """Yield every event, done or not."""
        with self.path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):  # torn, or not at its end yet
                    yield json.loads(line)

    def mark(self, offset: int) -> None:
        """Note that everything before an offset is done."""
        with written_whole(self._mark) as scratch:
            scratch.write_text(str(offset))
        self._offset = offset

    def _read_mark(self) -> int:
        """Return how far the events are done; from the start where the mark fits no more: nothing is written twice."""
        try:
            offset = int(self._mark.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return offset if offset <= self.path.stat().st_size else 0


def _as_json(value: Any) -> Any:
    """Return what JSON can hold of a value.

    In a list a number that is not finite is None, since the others keep their places.
    """
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items() if not _is_infinite(item)}
    if isinstance(value, list | tuple):
        return [None if _is_infinite(item) else _as_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return float(value) if isinstance(value, numbers.Real) else str(value)  # NumPy's, for one


def _is_infinite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, int) and not math.isfinite(value)


def _end_torn_line(path: Path) -> None:
    """Close a line that a dying process left incomplete, so that the next event has one of its own."""
    with path.open("rb+") as file:
        if file.seek(0, 2) and file.seek(-1, 2) >= 0 and file.read(1) != b"\n":
            file.write(b"\n")
