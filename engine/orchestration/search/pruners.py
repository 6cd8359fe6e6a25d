"""Pruners by name: what stops hopeless trials early.

A pruner compares the probe's errors at a step; steps are epochs with fixed offsets (``Horizon``). A name may carry a
number: "threshold:0.6".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from engine.errors import InputError, unknown_name
from engine.report.reasons import Reason
from engine.spaces import Space

REDUCTION = 2
"""Of the trials that reach a rung, one in so many goes on: with 2, a rung falls in the last half of any training."""

N_CELLS = 5
"""Cells that a trial is measured on before a signed-rank test compares it: with fewer, none could reach p = 0.05."""


@dataclass(frozen=True)
class Horizon:
    """The steps of a space's longest trial.

    Attributes:
        n_pretrain: the last step of pretraining; fine-tuning begins after it.
        n_finetune: epochs of fine-tuning; 0 where there is none.
    """

    n_pretrain: int
    n_finetune: int

    @classmethod
    def of(cls, space: Space) -> Horizon:
        """Return a space's horizon."""
        tuned = any(which != "none" for which in _possible(space, "finetune.which"))
        n_finetune = max(_possible(space, "finetune.training.epochs")) if tuned else 0
        return cls(space.max_pretrain_epochs(), n_finetune)

    @property
    def n_steps(self) -> int:
        """Return the last step."""
        return self.n_pretrain + self.n_finetune

    def first_rung(self) -> int:
        """Return the least first rung, ≥ 2, such that a later one (or it itself) lies in fine-tuning's first half.

        Many trials share their pretraining, which is not pruned on: without a rung in fine-tuning they would never be
        judged.
        """
        start, end = self.n_pretrain, self.n_pretrain + max(1, self.n_finetune // 2)
        if not self.n_finetune:
            start, end = 0, self.n_pretrain
        for first in range(2, end + 1):
            rung = first
            while rung <= start:
                rung *= REDUCTION
            if rung <= end:
                return first
        return max(1, end)


@dataclass(frozen=True)
class PrunerKind:
    """What there is to know about a pruner.

    Attributes:
        description: what it does, in a line.
        make: gives Optuna's pruner for the horizon and the name's number.
        against: what a stopped trial's error was compared with: (errors of the complete trials at this step, the name's
            number) → fields of ``Reason``.
        argument: what the name's number is called, and its default; a default of None means that it must be given.
        by_rungs: whether it judges at few steps and must hear of every one, also where a trial may not be stopped.
        by_cells: whether its steps are the evaluation's (corruption, severity) cells, not epochs.
    """

    description: str
    make: Callable[[Horizon, float], optuna.pruners.BasePruner]
    against: Callable[[Sequence[float], float], Mapping[str, Any]] = lambda others, number: {}
    argument: tuple[str, float | None] | None = None
    by_rungs: bool = False
    by_cells: bool = False


def _percentile(others: Sequence[float], percent: float) -> dict[str, Any]:
    bound = float(np.percentile(others, percent)) if others else None
    return {"bound": bound, "number": percent, "n_compared": len(others)}


def _rung(others: Sequence[float], number: float) -> dict[str, Any]:
    return {"number": REDUCTION}


def _wilcoxon(horizon: Horizon, p_threshold: float) -> optuna.pruners.BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner(p_threshold=p_threshold, n_startup_steps=N_CELLS)


PRUNERS: dict[str, PrunerKind] = {
    "none": PrunerKind("every trial runs to its end", lambda horizon, number: optuna.pruners.NopPruner()),
    "median": PrunerKind(
        "stops a trial whose best error so far is above the median of the complete ones at this step",
        lambda horizon, number: optuna.pruners.MedianPruner(n_startup_trials=4, n_min_trials=4),
        against=lambda others, number: _percentile(others, 50),
    ),
    "percentile": PrunerKind(
        "the same with a percentile: percentile:25 lets the best quarter go on",
        lambda horizon, number: optuna.pruners.PercentilePruner(number, n_startup_trials=4, n_min_trials=4),
        against=_percentile,
        argument=("PERCENT", 25.0),
    ),
    "successive-halving": PrunerKind(
        "the better half goes on at each rung; rungs double their distance, one lies early in fine-tuning",
        lambda horizon, number: optuna.pruners.SuccessiveHalvingPruner(
            min_resource=horizon.first_rung(), reduction_factor=REDUCTION
        ),
        against=_rung,
        by_rungs=True,
    ),
    "hyperband": PrunerKind(
        "successive halving in several brackets, which begin to judge at different rungs",
        lambda horizon, number: optuna.pruners.HyperbandPruner(
            min_resource=horizon.first_rung(), max_resource=horizon.n_steps, reduction_factor=REDUCTION
        ),
        against=_rung,
        by_rungs=True,
    ),
    "threshold": PrunerKind(
        "stops a trial whose error is above a bound: threshold:0.6",
        lambda horizon, number: optuna.pruners.ThresholdPruner(upper=number),
        against=lambda others, number: {"bound": number},
        argument=("BOUND", None),
    ),
    "wilcoxon": PrunerKind(
        "stops an evaluation whose (corruption, severity) cells are worse than the best trial's, by a signed-rank test "
        "at wilcoxon:P",
        _wilcoxon,
        argument=("P", 0.1),
        by_cells=True,
    ),
}


@dataclass(frozen=True)
class SweepPruner:
    """A pruner for one study.

    Attributes:
        name: of its kind.
        number: what its name carried, or the default.
        optuna: Optuna's.
    """

    name: str
    number: float
    optuna: optuna.pruners.BasePruner

    @property
    def by_rungs(self) -> bool:
        """Return whether it must hear of every step."""
        return PRUNERS[self.name].by_rungs

    @property
    def by_cells(self) -> bool:
        """Return whether it compares cells, not epochs."""
        return PRUNERS[self.name].by_cells

    def cells_reason(self, cells: Mapping[int, float], best: FrozenTrial) -> Reason:
        """Return why a trial is stopped for its cells.

        Args:
            cells: its errors so far, by cell.
            best: the trial that it was compared with.
        """
        common = cells.keys() & best.intermediate_values.keys()
        return Reason(
            "pruner",
            pruner=self.name,
            step=max(cells),
            value=sum(cells[cell] for cell in common) / len(common),
            bound=sum(best.intermediate_values[cell] for cell in common) / len(common),
            number=self.number,
            n_compared=len(common),
            trial=best.number,
        )

    def reason(self, step: int, value: float, others: Sequence[float]) -> Reason:
        """Return why a trial is stopped.

        Args:
            step: where.
            value: its error there.
            others: the complete trials' errors there.
        """
        against = PRUNERS[self.name].against(others, self.number)
        return Reason("pruner", pruner=self.name, step=step, value=value, **against)


def parse_pruner(text: str) -> tuple[str, float]:
    """Return a pruner's name and its number (NaN where it has none).

    Raises:
        InputError: an unknown name, or a number that is missing, not wanted or out of its range.
    """
    name, colon, number = text.partition(":")
    if name not in PRUNERS:
        raise unknown_name("pruner", name, PRUNERS)
    argument = PRUNERS[name].argument
    if argument is None:
        if colon:
            raise InputError(f"pruner {name!r} takes no number, got {text!r}")
        return name, float("nan")
    word, default = argument
    if not colon and default is not None:
        return name, default
    greatest = 100.0 if word == "PERCENT" else 1.0
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not 0 < value < greatest:
        raise InputError(f"pruner {name!r} is given as {name}:{word} with {word} in (0, {greatest:g}), got {text!r}")
    return name, value


def make_pruner(text: str, space: Space) -> SweepPruner:
    """Return a pruner for a study of a space.

    Raises:
        InputError: see ``parse_pruner``.
    """
    name, number = parse_pruner(text)
    return SweepPruner(name, number, PRUNERS[name].make(Horizon.of(space), number))


def _possible(space: Space, path: str) -> list[Any]:
    """Return the values of a setting in base and arms, and those that its axes' checks try."""
    values = [space.base.flat()[path]]
    values += [value for axis in space.axes if axis.setting == path for value in axis.extremes()]
    return values + [arm.settings[path] for arm in space.arms if path in arm.settings]
