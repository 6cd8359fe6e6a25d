"""What a sweep is refused for good: the first refusal stops it, and of its end whatever can be done is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from engine.errors import InputError
from engine.orchestration.databases.patience import Patience, passing_reason


class Refusals:
    """Keeps what database, disk or store refuse.

    Attributes:
        fault: what they said when they had refused for so long that the sweep stops; "" as long as all is well.
        patience: waits for them, until there is a fault.
    """

    def __init__(self) -> None:
        self.fault = ""
        self.patience = Patience()

    def note(self, error: Exception) -> None:
        """Note what database, disk or store said, and wait for them no more; raise any other error."""
        reason = passing_reason(error)
        if reason is None or isinstance(error, InputError):
            raise error
        self.fault = self.fault or reason
        self.patience.limit_s = 0.0

    def unless_refused(self, step: Callable[[], object]) -> None:
        """Take a step; where it is refused, go without."""
        try:
            step()
        except Exception as error:
            self.note(error)

    def each(self, *steps: Callable[[], object]) -> None:
        """Take the steps of an end, one after the other, whatever is refused of them."""
        with ExitStack() as ending:
            for step in reversed(steps):
                ending.callback(self.unless_refused, step)
