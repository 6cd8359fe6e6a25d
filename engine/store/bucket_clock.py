"""The time by a bucket's own clock, so that machines whose clocks differ judge the age of one claim alike."""

from __future__ import annotations

import time

JUMP_S = 5.0
"""By how much the time of day may have moved against the processor's before the clock is measured again."""


class BucketClock:
    """What is known of a service's clock: it is not earlier than when anything there was written, plus the time since.

    The time since is the processor's, which stands still while a laptop sleeps: then it has to be measured again.
    It stands behind the true one by as long as nothing was written, until it is measured by a write of one's own; then
    by no more than a request takes, and the second that services leave out.
    """

    def __init__(self) -> None:
        self._ahead_s = float("-inf")
        self._wall_ahead_s = float("-inf")  # when it was measured: of time.time() before time.monotonic()

    @property
    def is_measured(self) -> bool:
        """Return whether something was heard of in the moment it was written, and this machine has not slept since."""
        return abs(_wall_ahead_s() - self._wall_ahead_s) <= JUMP_S

    def note_measured(self) -> None:
        """Take note that something was just heard of that was written in this moment."""
        self._wall_ahead_s = _wall_ahead_s()

    def hear(self, modified: float) -> None:
        """Take note of when something was written, by the service's clock, in seconds since 1970."""
        self._ahead_s = max(self._ahead_s, modified - time.monotonic())

    def now(self) -> float:
        """Return the time, in seconds since 1970, or an earlier one; minus infinity while nothing was heard."""
        return time.monotonic() + self._ahead_s

    def local(self, modified: float) -> float:
        """Return a moment of this clock by this machine's, to a tenth of a second; 0 stays 0."""
        return round(modified - self.now() + time.time(), 1) if modified else 0.0


def _wall_ahead_s() -> float:
    return time.time() - time.monotonic()
