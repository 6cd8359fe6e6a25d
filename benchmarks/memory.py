"""How much memory a process has of its own at most (Linux)."""

from __future__ import annotations

import re
import threading
from pathlib import Path

_SAMPLE_S = 0.02
_STATUS = Path("/proc/self/status")


class MemoryMeter:
    """Notes the peak of this process's memory while it is open.

    Attributes:
        own_mb: what it has of its own: all but mapped files, of which every process of a machine sees the same pages.
        resident_mb: those included, as far as they are in memory.
    """

    def __enter__(self) -> MemoryMeter:
        self.own_mb = self.resident_mb = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self.resident_mb = status_mb("VmHWM")

    def _watch(self) -> None:
        while True:
            self.own_mb = max(self.own_mb, status_mb("RssAnon"))
            if self._closed.wait(_SAMPLE_S):
                return


def status_mb(field: str) -> float:
    """Return one of the sizes that Linux tells of this process, in MB (10⁶ bytes)."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
