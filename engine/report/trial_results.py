"""A trial that has ended, as a plain value: what it was for, its settings, its errors, or why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.corruption_kinds import TUNED_ON
from engine.explanation import as_typed
from engine.metrics.scores import ErrorTable, rows_to_table
from engine.report.columns import errors_by_column
from engine.report.reasons import Reason
from engine.stages.budget import NoisyBudget

CORRUPTED = "corrupted"
DEAD_SHARE = 0.95
"""A network is dead that has one answer for so many of the images, while no more than half of them are of one class."""
_SINGLE = 2.0**-23
"""By how much a number of 32 bits may differ from what it stands for, as a share of it."""
DEAD_ERROR = 0.5
"""One that answers every image alike errs at least so often, unless most images are of one class."""

OBJECTIVES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "clean": lambda errors: errors["validation"]["clean"],
    CORRUPTED: lambda errors: errors["objective"],
}
"""What trials can be compared by, from an evaluation's record: errors on validation images, to be made small."""


@dataclass(frozen=True, repr=False)
class TrialResult:
    """A trial as the study has it.

    Attributes:
        number: in the study.
        slot: what the trial was for, as the study's attribute of that name says it ("arm/plain/0").
        group: arm or "winner"; "" for a proposal.
        seed: the trial's.
        state: "COMPLETE", "PRUNED" or "FAIL".
        settings: {dotted path: value} over the space's base.
        objective: mean error on corrupted validation images; None unless complete.
        errors: the evaluation's record; None unless complete.
        reason: why it was pruned or failed; None for a complete one.
        stages: {stage: key}.
        values: {objective: value}, the corrupted error among them; empty unless complete.
        repeat_of: for a proposal that equals an earlier trial, that one's number.
        identity: what configurations share that come to the same numbers, as of when it ran; None if it is not known.
        steps: {step: error on the probe, or on a cell of the evaluation}, what it was pruned by or could have been.
        started_at: when it began, in seconds since 1970; None if that is not known.
        ended_at: when it ended; of one that this process has ended, to the milliseconds that the study's writing took.
    """

    number: int
    slot: str
    group: str
    seed: int
    state: str
    settings: Mapping[str, Any]
    objective: float | None
    errors: Mapping[str, Any] | None
    reason: Reason | None
    stages: Mapping[str, str]
    values: Mapping[str, float] = field(default_factory=dict)
    repeat_of: int | None = None
    identity: str | None = None
    steps: Mapping[int, float] = field(default_factory=dict)
    started_at: float | None = field(default=None, compare=False)
    ended_at: float | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        value = self.reason if self.objective is None else f"objective {self.objective:.4f}"
        return f"TrialResult({self.number}, {self.slot!r}, {self.state}: {value})"

    @property
    def is_result(self) -> bool:
        """Return whether it says something of its settings; one that machines, store or network ended does not."""
        return self.state != "FAIL" or self.reason is None or not self.reason.is_of_machines

    @cached_property
    def test(self) -> Mapping[str, Any]:
        """Return the record of the test images, its errors exact (see ``exact_errors``); empty unless complete."""
        return {} if self.errors is None else exact_errors(self.errors["test"])

    @property
    def table(self) -> ErrorTable:
        """Return the test errors by (corruption, severity); empty unless complete."""
        return rows_to_table(self.test.get("corrupted", []))

    @property
    def metrics(self) -> Mapping[str, float]:
        """Return what stages have measured themselves, {"stage/name": number}; empty unless complete."""
        return (self.errors or {}).get("metrics", {})

    @property
    def dead(self) -> bool:
        """Return whether the network answers every image alike, or nearly."""
        if self.errors is None:
            return False
        test = self.test
        if "most_answered" in test:
            answered, labelled = test["most_answered"], test["most_labelled"]
            return labelled < answered == 1 or (answered >= DEAD_SHARE and labelled <= 0.5)
        cells = self.table.values()  # an older record does not say: then whatever the images suffer, its error is one
        return test["clean"] >= DEAD_ERROR and len(cells) > 1 and set(cells) == {test["clean"]}

    @property
    def noisy_budget(self) -> NoisyBudget | None:
        """Return the labelled noisy images that it was tuned or trained on and its epoch chosen by, if there were any.

        Studies of an older version do not say; their fine-tuning chose by all noisy validation images.
        """
        noted = (self.errors or {}).get("labelled_noisy")
        return None if noted is None else NoisyBudget.from_json(noted)

    def test_errors(self) -> dict[str, float]:
        """Return the error on test images by "clean", each kind of corruption, each corruption, and "all", over all
        severities, and "tuned on", the distortion that filters were tuned on, where there is one.
        """
        return self.errors_over({name for name, _ in self.table})

    def errors_over(self, corruptions: Collection[str]) -> dict[str, float]:
        """Return ``test_errors`` over some of the corruptions alone."""
        table = {cell: error for cell, error in self.table.items() if cell[0] in corruptions}
        tuned = self.test.get("tuned_distortion")
        return errors_by_column(table, self.test["clean"]) | ({} if tuned is None else {TUNED_ON: tuned})


def exact_errors(images: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the record of some images with errors that are shares of them to the last bit of 64.

    They are written with the 32 bits that they were measured in. What is equal of two networks, or adds up to the same,
    would then differ in the eighth digit, and a test that counts ties would find none. Numbers that are no such share
    stay as they are, and older records, which do not say of how many images they are.
    """
    n = images.get("n_images")
    if not n:
        return images
    rows = [{**row, "error": _share(row["error"], n)} for row in images["corrupted"]]
    own = {name: _share(images[name], n) for name in ("clean", "tuned_distortion") if images.get(name) is not None}
    return {**images, **own, "corrupted": rows}


def _share(error: float, n_images: int) -> float:
    if not math.isfinite(error):
        return error
    exact = round(error * n_images) / n_images
    return exact if abs(exact - error) <= _SINGLE * exact else error


def objective_values(errors: Mapping[str, Any], objectives: Sequence[str]) -> tuple[float, ...]:
    """Return an evaluation's value of each objective."""
    return tuple(OBJECTIVES[name](errors) for name in objectives)


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return settings in a line, as a person types them."""
    return ", ".join(f"{path}={as_typed(value)}" for path, value in settings.items())


def budget_note(trials: Iterable[TrialResult]) -> str:
    """Return what follows the settings of trials that differ in their seed alone: "; N labelled noisy images …"."""
    budgets = dict.fromkeys(trial.noisy_budget for trial in trials if trial.noisy_budget is not None)
    return "".join(f"; {budget}" for budget in budgets)
