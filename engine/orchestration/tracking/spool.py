"""Events on disk, in order, until somebody has written them to the tracking server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any


class Spool:
    """A file of JSON lines that grows at its end, and how far it was read.

    What is appended survives the process; what was read but not marked as done is read again.

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
        self._offset = int(self._mark.read_text()) if self._mark.exists() else 0

    def append(self, event: dict[str, Any]) -> None:
        """Add an event."""
        line = json.dumps(event, allow_nan=False) + "\n"
        with self._lock, self.path.open("a") as file:
            file.write(line)

    def pending(self) -> tuple[list[dict[str, Any]], int]:
        """Return the events that are not done, and the offset to mark once they are.

        A last line that a dying process left incomplete is not returned.
        """
        with self._lock, self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        events = []
        for line in whole.splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue  # a line that a dying process left torn
        return events, self._offset + len(whole)

    def mark(self, offset: int) -> None:
        """Note that everything before an offset is done."""
        scratch = self._mark.with_suffix(".tmp")
        scratch.write_text(str(offset))
        scratch.replace(self._mark)
        self._offset = offset


def _end_torn_line(path: Path) -> None:
    """Close a line that a dying process left incomplete, so that the next event has one of its own."""
    with path.open("rb+") as file:
        if file.seek(0, 2) and file.seek(-1, 2) >= 0 and file.read(1) != b"\n":
            file.write(b"\n")
