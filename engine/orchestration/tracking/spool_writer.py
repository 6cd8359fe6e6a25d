"""Writing a spool's events to a tracker: in batches, one process at a time, nothing lost and nothing forgotten."""

from __future__ import annotations

import contextlib
import re

from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.tracker_kinds import Writer
from engine.redaction import hide_credentials
from engine.store.leases import FileLease

_BATCH = 2000
"""Events that are written before that is noted on disk."""
_LONGEST_REASON = 160
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>[:,]? ?")


class SpoolWriter:
    """Writes a spool's events to a tracker.

    While the tracker is away, events stay on disk; after a crash they are read again.

    Args:
        writer: the tracker's.
        spool: where the events are.

    Attributes:
        experiment: what the tracker said of where its runs are; "" until the first connection.
        lease: who has it may write the spool's events.
    """

    def __init__(self, writer: Writer, spool: Spool) -> None:
        self._writer = writer
        self._spool = spool
        self.experiment = ""
        self.lease = FileLease(spool.path.with_suffix(".lease"))

    def connect(self) -> None:
        """Connect to the tracker.

        Raises:
            Exception: whatever it raises.
        """
        try:
            self.experiment = self._writer.connect()
        except Exception:
            self._writer.drop()
            raise

    def prepare_end(self, *, with_network: bool) -> None:
        """Have the tracker import what the end will take, if it can; what fails now is said at the end."""
        prepare = getattr(self._writer, "prepare_end", None)
        if prepare is not None:
            with contextlib.suppress(Exception):
                prepare(with_network=with_network)

    def flush(self) -> int:
        """Write all pending events; return how many there were.

        Raises:
            Exception: whatever the tracker raises; what was not written stays in the spool.
        """
        self.connect()
        n_written = 0
        while True:
            events, offset = self._spool.pending(_BATCH)
            if not events:
                return n_written
            try:
                self._writer.write(events)
            except Exception:
                self._writer.drop()
                raise
            self._spool.mark(offset)
            n_written += len(events)


def describe_error(error: BaseException) -> str:
    """Return an error's kind and the first line of what caused it, in a line and without credentials."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    first = str(cause).strip().partition("\n")[0] or str(error).strip().partition("\n")[0]
    first = _OBJECT.sub("", hide_credentials(first))
    return f"{type(error).__name__}: {first if len(first) <= _LONGEST_REASON else first[: _LONGEST_REASON - 1] + '…'}"
