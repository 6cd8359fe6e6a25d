"""The pruner of one study: which kind is asked for, made for a space, and why it stopped a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from engine.errors import InputError
from engine.orchestration.databases.patience import RefusedError
from engine.orchestration.search.horizon import Horizon
from engine.orchestration.search.pruner_kinds import PRUNERS, PrunerRequest
from engine.report.reasons import Reason
from engine.spaces import Space

N_TRIED_STEPS = 10
"""Steps at which a user's own pruner is tried before a sweep starts."""


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


@dataclass(frozen=True)
class PrunerChoice:
    """Which pruner is asked for.

    Attributes:
        name: one of ``PRUNERS``.
        number: that its name carried, or the default; NaN where it has none.
    """

    name: str
    number: float = float("nan")


def parse_pruner(text: str) -> PrunerChoice:
    """Return the pruner that a person asks for: "median", or "threshold:0.6".

    Raises:
        InputError: an unknown name, or a number that is missing, not wanted or out of its range.
    """
    name, colon, text_of_number = text.partition(":")
    number = PRUNERS[name].number
    if number is None:
        if colon:
            raise InputError(f"pruner {name!r} takes no number, got {text!r}")
        return PrunerChoice(name)
    if not colon and number.default is not None:
        return PrunerChoice(name, number.default)
    try:
        value = float(text_of_number)
    except ValueError:
        value = float("nan")
    if not 0 < value < number.limit:
        allowed = f"{number.word} in (0, {number.limit:g})"
        raise InputError(f"pruner {name!r} is given as {name}:{number.word} with {allowed}, got {text!r}")
    return PrunerChoice(name, value)


def make_pruner(choice: PrunerChoice, space: Space) -> SweepPruner:
    """Return a pruner for a study of a space.

    Raises:
        InputError: a user's function that gives no pruner.
    """
    name, number = choice.name, choice.number
    pruner = PRUNERS[name].make(PrunerRequest(space, Horizon.of(space), number))
    if not isinstance(pruner, optuna.pruners.BasePruner):
        raise InputError(f"pruner {name!r} must be an optuna.pruners.BasePruner, got {pruner!r}")
    return SweepPruner(name, number, pruner)


def yes_or_no(name: str, said: object) -> bool:
    """Return what a pruner says, Python's True or False or NumPy's.

    Raises:
        RefusedError: it says something else, which would count as yes or no by chance.
    """
    if not isinstance(said, bool | np.bool_):
        raise RefusedError(f"pruner {name!r} must say True or False, got {said!r}")
    return bool(said)


def try_pruner(choice: PrunerChoice, space: Space) -> None:
    """Have a user's own pruner judge the second of two trials, at each of the first steps.

    Raises:
        InputError: it fails, and how.
    """
    name = choice.name
    if PRUNERS.source_digest(name) is None:
        return  # the project's own are tested
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(pruner=make_pruner(choice, space).optuna)
        for error in (0.5, 0.6):
            trial = study.ask()
            for step in range(1, N_TRIED_STEPS + 1):
                trial.report(error, step)
                yes_or_no(name, trial.should_prune())
            study.tell(trial, error)
    except InputError:
        raise
    except RefusedError as error:
        raise InputError(str(error)) from error
    except Exception as error:  # whatever a user's code raises
        raise InputError(f"pruner {name!r} fails: {type(error).__name__}: {error}") from error
