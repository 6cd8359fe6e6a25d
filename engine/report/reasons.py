"""Why a trial ended before it had a result: as a value that is kept and counted, and in words for people.

The study keeps the value (user attribute ``reason``). Words are made here alone, and nothing reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, Self

Kind = Literal[
    "pruner", "repeat", "settings", "stage", "infrastructure", "process", "objective", "interrupted", "words"
]
"""What ended a trial: a pruner; that it repeats a trial which was pruned; settings that cannot work; a stage that
failed; machines, store or network, which did; its process, which died; an objective that is no number; the end of the
sweep. "words": a study from before reasons were values has no more than ``text``."""


@dataclass(frozen=True)
class Reason:
    """Why a trial was pruned or failed.

    Attributes:
        kind: what ended it.
        stage: the stage that it was in; "" where it was in none, or that is not known.
        pruner: the pruner that stopped it.
        epoch: of the stage, ≥ 1, at which it was stopped.
        step: of the study, at which it was stopped: an epoch's, or the last of the evaluation's cells.
        value: its error there, a fraction: the probe's at an epoch, the mean over the cells.
        bound: what it was compared with, a fraction: a percentile, a threshold, the best trial's mean.
        number: the pruner's own: a percentage, a reduction factor, a p-value.
        n_compared: how many trials, or cells, ``bound`` comes from.
        trial: number of the trial that it was compared with, or repeats.
        text: what was said of it elsewhere, without credentials.
    """

    kind: Kind
    stage: str = ""
    pruner: str = ""
    epoch: int | None = None
    step: int | None = None
    value: float | None = None
    bound: float | None = None
    number: float | None = None
    n_compared: int | None = None
    trial: int | None = None
    text: str = ""

    def __str__(self) -> str:
        """Return the reason in words."""
        return _WORDS[self.kind](self) if self.kind in _WORDS else self.text

    @property
    def is_of_machines(self) -> bool:
        """Return whether it says nothing of the trial, but of what happened to machines, store or network."""
        return self.kind in ("infrastructure", "process")

    def to_json(self) -> dict[str, Any]:
        """Return the reason as a JSON value: what is known of it."""
        found = {item.name: (getattr(self, item.name), item.default) for item in fields(self)}
        return {name: value for name, (value, default) in found.items() if default is MISSING or value != default}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | str) -> Self:
        """Return the reason of ``to_json``; of a study that kept words, the words."""
        if isinstance(value, str):
            return cls("words", text=value)
        known = {item.name for item in fields(cls)}
        return cls(**{name: item for name, item in value.items() if name in known})


def _pruner(reason: Reason) -> str:
    against = _AGAINST[reason.pruner](reason) if reason.pruner in _AGAINST else ""
    if reason.stage and reason.epoch is not None:
        against += f" (epoch {reason.epoch} of {reason.stage})"
    if reason.trial is not None:  # it was compared with one trial, cell by cell
        where, kind = f"after {reason.n_compared} cells of the evaluation", "mean"
    else:
        where, kind = f"at step {reason.step}", "probe"
    return f"{reason.pruner} pruner {where}: {kind} error {reason.value:.4f}{against}"


def _percentile(reason: Reason) -> str:
    if reason.bound is None:
        return ""
    middle = "median" if reason.number == 50 else f"{reason.number:g}th percentile"
    return f", {middle} of the {reason.n_compared} complete trials {reason.bound:.4f}"


def _rung(reason: Reason) -> str:
    better = "half" if reason.number == 2 else f"1/{reason.number:g}"
    return f", not in the better {better} of those that reached this rung"


def _best(reason: Reason) -> str:
    return f", that of the best trial (number {reason.trial}) {reason.bound:.4f}, p < {reason.number:g}"


_AGAINST = {
    "median": _percentile,
    "percentile": _percentile,
    "successive-halving": _rung,
    "hyperband": lambda reason: f"{_rung(reason)} in its bracket",
    "threshold": lambda reason: f", above {reason.bound:g}",
    "wilcoxon": _best,
}
"""{pruner: what its trial's error was compared with, in words}."""

_WORDS = {
    "pruner": _pruner,
    "repeat": lambda reason: f"it repeats trial {reason.trial}, which was pruned",
    "settings": lambda reason: f"impossible settings: {reason.text}",
    "process": lambda reason: "its process died",
    "objective": lambda reason: f"its objective is {reason.text}",
    "interrupted": lambda reason: "interrupted",
}
