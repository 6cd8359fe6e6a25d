"""What is said once in a process, however many trainings it is true of."""

from __future__ import annotations

import warnings
from functools import cache


@cache
def warn_once(text: str) -> None:
    """Warn with a text that was not said before."""
    warnings.warn(text, stacklevel=2)
