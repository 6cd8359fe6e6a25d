"""Pruners by name: what stops hopeless trials early.

A pruner compares the probe's errors at a step; steps are epochs with fixed offsets (``Horizon``). A name may carry a
number: "threshold:0.6". Another one is one function and ``register_pruner``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from engine.orchestration.search.horizon import REDUCTION, Horizon
from engine.registry import Registry
from engine.spaces import Space

N_CELLS = 5
"""Cells that a trial is measured on before a signed-rank test compares it: with fewer, none could reach p = 0.05."""


@dataclass(frozen=True)
class PrunerNumber:
    """The number that a pruner's name may carry.

    Attributes:
        word: what it is called.
        default: its value where none is given; None means that it must be.
        limit: it is in (0, limit).
    """

    word: str
    default: float | None = None
    limit: float = 1.0


@dataclass(frozen=True)
class PrunerRequest:
    """What a pruner is made for.

    Attributes:
        space: what is explored.
        horizon: the steps of its longest trial.
        number: what the pruner's name carries, or its default; NaN where it has none.
    """

    space: Space
    horizon: Horizon
    number: float


MakePruner = Callable[[PrunerRequest], optuna.pruners.BasePruner]
Against = Callable[[Sequence[float], float], Mapping[str, Any]]


def _nothing(others: Sequence[float], number: float) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class PrunerKind:
    """What there is to know about a pruner.

    Attributes:
        description: what it does, in a line.
        make: gives Optuna's pruner.
        against: what a stopped trial's error was compared with: (errors of the complete trials at this step, the name's
            number) → fields of ``Reason``.
        number: the name's number, if it has one.
        by_rungs: whether it judges at few steps and must hear of every one, also where a trial may not be stopped.
        by_cells: whether its steps are the evaluation's (corruption, severity) cells, not epochs.
    """

    description: str
    make: MakePruner
    against: Against
    number: PrunerNumber | None
    by_rungs: bool
    by_cells: bool


PRUNERS: Registry[PrunerKind] = Registry("pruner")


def register_pruner(
    name: str,
    description: str,
    *,
    number: PrunerNumber | None = None,
    by_rungs: bool = False,
    by_cells: bool = False,
    against: Against = _nothing,
) -> Callable[[MakePruner], MakePruner]:
    """Return a decorator that makes an Optuna pruner usable as ``--pruner name``.

    The function gets a ``PrunerRequest`` and returns an ``optuna.pruners.BasePruner``. That judges live trials in a
    copy of the study in memory, where the errors of their epochs, to be made small, are intermediate values. What it
    notes in a trial's system attributes is in the study once the trial has ended.

    Args:
        name: the pruner's name.
        description: what it does, in a line, for ``--list``.
        number: the number that follows the name after a colon, if there is one.
        by_rungs: whether it must be asked at every step, also where its answer cannot count (the first epochs, arms,
            a stage that other trials share); else it is asked only where a trial may be stopped.
        by_cells: whether its steps are the evaluation's (corruption, severity) cells, not epochs.
        against: what a stopped trial's error was compared with, from the errors of the complete trials at this step
            and the name's number: fields of ``Reason``.

    Raises:
        InputError: another pruner has the name.
    """

    def add(make: MakePruner) -> MakePruner:
        kind = PrunerKind(description, make, against, number, by_rungs, by_cells)
        PRUNERS.register(name, made_by=make)(kind)
        return make

    return add


def _percentile(others: Sequence[float], percent: float) -> dict[str, Any]:
    bound = float(np.percentile(others, percent)) if others else None
    return {"bound": bound, "number": percent, "n_compared": len(others)}


def _rung(others: Sequence[float], number: float) -> dict[str, Any]:
    return {"number": REDUCTION}


@register_pruner("none", "every trial runs to its end")
def _none(given: PrunerRequest) -> optuna.pruners.BasePruner:
    return optuna.pruners.NopPruner()


@register_pruner(
    "median",
    "stops a trial whose best error so far is above the median of the complete ones at this step",
    against=lambda others, number: _percentile(others, 50),
)
def _median(given: PrunerRequest) -> optuna.pruners.BasePruner:
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_min_trials=4)


@register_pruner(
    "percentile",
    "the same with a percentile: percentile:25 lets the best quarter go on",
    number=PrunerNumber("PERCENT", 25.0, limit=100.0),
    against=_percentile,
)
def _of_percentile(given: PrunerRequest) -> optuna.pruners.BasePruner:
    return optuna.pruners.PercentilePruner(given.number, n_startup_trials=4, n_min_trials=4)


@register_pruner(
    "successive-halving",
    "the better half goes on at each rung; rungs double their distance, one lies early in fine-tuning",
    by_rungs=True,
    against=_rung,
)
def _successive_halving(given: PrunerRequest) -> optuna.pruners.BasePruner:
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=given.horizon.first_rung(), reduction_factor=REDUCTION)


@register_pruner(
    "hyperband",
    "successive halving in several brackets, which begin to judge at different rungs",
    by_rungs=True,
    against=_rung,
)
def _hyperband(given: PrunerRequest) -> optuna.pruners.BasePruner:
    return optuna.pruners.HyperbandPruner(
        min_resource=given.horizon.first_rung(), max_resource=given.horizon.n_steps, reduction_factor=REDUCTION
    )


@register_pruner(
    "threshold",
    "stops a trial whose error is above a bound: threshold:0.6",
    number=PrunerNumber("BOUND"),
    against=lambda others, number: {"bound": number},
)
def _threshold(given: PrunerRequest) -> optuna.pruners.BasePruner:
    return optuna.pruners.ThresholdPruner(upper=given.number)


@register_pruner(
    "wilcoxon",
    "stops an evaluation whose (corruption, severity) cells are worse than the best trial's, by a signed-rank test at "
    "wilcoxon:P",
    number=PrunerNumber("P", 0.1),
    by_cells=True,
)
def _wilcoxon(given: PrunerRequest) -> optuna.pruners.BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner(p_threshold=given.number, n_startup_steps=N_CELLS)
