"""The time by a bucket's own clock, so that machines whose clocks differ judge the age of one claim alike."""

from __future__ import annotations

import time


class BucketClock:
    """What is known of a service's clock: it is not earlier than when anything there was written, plus the time since.

    It stands behind the true one by as long as nothing was written, until it is measured by a write of one's own; then
    by no more than a request takes, and the second that services leave out.

    Attributes:
        is_measured: whether something was heard of that was written in that moment.
    """

    def __init__(self) -> None:
        self.is_measured = False
        self._ahead_s = float("-inf")

    def hear(self, modified: float) -> None:
        """Take note of when something was written, by the service's clock, in seconds since 1970."""
        self._ahead_s = max(self._ahead_s, modified - time.monotonic())

    def now(self) -> float:
        """Return the time, in seconds since 1970, or an earlier one; minus infinity while nothing was heard."""
        return time.monotonic() + self._ahead_s
