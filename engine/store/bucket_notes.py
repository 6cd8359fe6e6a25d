"""Notes in a bucket that may be missing: written in the background, one after the other, and nobody waits for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from engine.store.attempts import StoreFaultError

NOTE_S = 5.0
"""How long a service that refuses is asked to take a note that may be missing."""


class BucketNotes:
    """Writes notes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bucket-notes")

    def take(self, write: Callable[[], object]) -> None:
        """Have a note written, soon; where the service refuses it, it goes without."""

        def unless_refused() -> None:
            with contextlib.suppress(StoreFaultError):
                write()

        with contextlib.suppress(RuntimeError):  # the process is ending
            self._thread.submit(unless_refused)

    def flush(self) -> None:
        """Wait for the notes of this process."""
        with contextlib.suppress(RuntimeError):
            self._thread.submit(lambda: None).result()
