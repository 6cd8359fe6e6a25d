"""Trials that failed, those of one cause together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from engine.report.reasons import Reason
from engine.report.trial_results import TrialResult

UNKNOWN = Reason("words", text="for no reason that was recorded")
MOST_NUMBERS = 10
"""Numbers of trials that are listed of one cause."""

_VARYING = re.compile(r"(?:[\w.~-]*/)+[\w.~-]*|\b[0-9a-f]{8,}\b|[-+]?\d[\d.]*(?:e[-+]?\d+)?")
"""What differs between failures of one cause: paths, keys, and numbers."""


def failure_lines(trials: Iterable[TrialResult]) -> list[str]:
    """Return a line a cause: how many trials failed of it, which, and why in the words of the first one."""
    causes: dict[tuple[str, ...], list[TrialResult]] = {}
    for trial in trials:
        causes.setdefault(cause_of(trial.reason or UNKNOWN), []).append(trial)
    lines = []
    for found in sorted(causes.values(), key=len, reverse=True):
        alike = len({trial.reason for trial in found}) > 1
        lines.append(
            f"failed: {len(found)} × {found[0].reason or UNKNOWN}"
            + (" (and alike, with other numbers or paths)" if alike else "")
            + f" — {_whose(found)}"
        )
    return lines


def cause_of(reason: Reason) -> tuple[str, ...]:
    """Return a reason without what differs between failures of one cause: its paths, keys and numbers."""
    return reason.kind, reason.stage, _VARYING.sub("#", str(reason))


def _whose(trials: Sequence[TrialResult]) -> str:
    groups = Counter(trial.group or "proposals" for trial in trials)
    counts = ", ".join(f"{group} {count}" for group, count in groups.items())
    numbers = [str(trial.number) for trial in trials[:MOST_NUMBERS]]
    left = len(trials) - len(numbers)
    more = f" and {left} more" if left else ""
    return f"{counts} (trial{'s' * (len(trials) > 1)} {', '.join(numbers)}{more})"
