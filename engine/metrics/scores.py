"""Error tables and their scores, against a baseline that normalises them (push–pull paper, section 4.2.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import InputError

ErrorTable = dict[tuple[str, int], float]
"""{(corruption, severity): error}, fractions."""
MEASURES = {"ece": "ECE", "nll": "NLL", "brier": "Brier"}
"""{key of a record: how it is written} of what there is beside an error."""
_ROUNDING = 1e-12
"""Of means: a difference below it is none."""


@dataclass(frozen=True)
class Baseline:
    """The network that scores are ratios to.

    Attributes:
        source: what it is called in records and errors.
        errors: {corruption: mean error over the severities}, fractions above 0.
        clean_error: fraction.
        severities: what the means are over; () if it is not known.
        sequences: rows of an evaluation's perturbation sequences, where they were measured.
        measured_on: what its errors are of, as a reader knows it; "" if it is not known.
        dataset: the same as `data.name` has it, "cifar10", or what that begins with before a path, "folder".
        note: what a reader should know of ratios to it; "" for nothing.

    Raises:
        InputError: an error that is no fraction, or 0.
    """

    source: str
    errors: Mapping[str, float]
    clean_error: float
    severities: tuple[int, ...] = ()
    sequences: tuple[Mapping[str, Any], ...] = ()
    measured_on: str = ""
    dataset: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.errors:
            raise InputError(f"{self.source} has no errors on corrupted images")
        for name, error in (("clean images", self.clean_error), *self.errors.items()):
            if not 0 <= error <= 1:  # NaN, too
                raise InputError(f"{self.source}: errors are fractions in 0…1, got {error} for {name}")
        perfect = [name for name, error in self.errors.items() if error == 0]
        if perfect:
            raise InputError(f"{self.source} must err for a ratio to it, its error is 0 for {', '.join(perfect)}")

    def against(self, dataset: str) -> Baseline:
        """Return it with a note where errors on a data set (`data.name`) are of other images than its own."""
        if not self.dataset or self.dataset == dataset.partition(":")[0]:
            return self
        note = f"{self.source} was measured on {self.measured_on}, these errors on {dataset}: ratios to it mean little"
        return replace(self, note=note)

    def check(self, corruptions: Iterable[str], severities: Iterable[int]) -> None:
        """Check that a table of these corruptions and severities can be compared with it.

        Raises:
            InputError: it lacks a corruption, or its means are over other severities.
        """
        missing = [name for name in corruptions if name not in self.errors]
        if missing:
            raise InputError(f"{self.source} has no error for {', '.join(missing)}")
        wanted = tuple(sorted(severities))
        if self.severities and self.severities != wanted:
            raise InputError(f"{self.source} is over the severities {_listed(self.severities)}, not {_listed(wanted)}")


@dataclass(frozen=True)
class Scores:
    """The benchmark's scores. Ratios: 1.04 is 4 % worse than the baseline.

    Attributes:
        E: mean error over all cells.
        E_by_corruption: mean error over the severities, by corruption.
        CE: sum of a corruption's errors over that of the baseline's (equation 1); None without a baseline.
        mCE: mean of CE.
        rCE_by_corruption: the same of the differences to the clean errors (equation 2); None for a corruption on
            which the baseline is not worse than on clean images.
        rCE: mean of rCE_by_corruption; None if one of them is.
        reasons: {corruption: why its rCE is None}.
    """

    E: float
    E_by_corruption: Mapping[str, float]
    CE: Mapping[str, float] | None = None
    mCE: float | None = None  # noqa: N815
    rCE_by_corruption: Mapping[str, float | None] | None = None  # noqa: N815
    rCE: float | None = None  # noqa: N815
    reasons: Mapping[str, str] = field(default_factory=dict)


def corruption_scores(
    errors: ErrorTable, clean_error: float, baseline: Baseline | tuple[Mapping[str, float], float] | None = None
) -> Scores:
    """Return the scores of an error table.

    Args:
        errors: {(corruption, severity): error}, every corruption at the same severities.
        clean_error: the model's error on clean images.
        baseline: the network that normalises; or ({corruption: mean error over the severities}, clean error).

    Raises:
        InputError: an empty or ragged table, errors that are no fractions, or a baseline that lacks a corruption,
            never errs on one or is over other severities.
    """
    by_corruption = mean_by_corruption(errors)
    for name, error in (("clean images", clean_error), *by_corruption.items()):
        if not 0 <= error <= 1:
            raise InputError(f"errors are fractions in 0…1, got {error} for {name}")
    overall = _mean(by_corruption.values())
    if baseline is None:
        return Scores(overall, by_corruption)
    if not isinstance(baseline, Baseline):
        baseline = Baseline("the baseline", *baseline)
    baseline.check(by_corruption, {severity for _, severity in errors})
    ratios = {name: error / baseline.errors[name] for name, error in by_corruption.items()}
    relative: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, error in by_corruption.items():
        gap = baseline.errors[name] - baseline.clean_error
        relative[name] = (error - clean_error) / gap if gap > _ROUNDING else None
        if relative[name] is None:
            reasons[name] = (
                f"{baseline.source} has {baseline.errors[name]:.2%} error on {name}, "
                f"no more than the {baseline.clean_error:.2%} on clean images"
            )
    known = [ratio for ratio in relative.values() if ratio is not None]
    mean_relative = _mean(known) if not reasons else None
    return Scores(overall, by_corruption, ratios, _mean(ratios.values()), relative, mean_relative, reasons)


def mean_by_corruption(errors: ErrorTable) -> dict[str, float]:
    """Return {corruption: mean error over its severities}.

    Raises:
        InputError: the table is empty, or its corruptions have different severities.
    """
    if not errors:
        raise InputError("the error table is empty")
    cells: dict[str, dict[int, float]] = {}
    for (name, severity), error in errors.items():
        cells.setdefault(name, {})[severity] = error
    severities = {tuple(sorted(row)) for row in cells.values()}
    if len(severities) > 1:
        raise InputError(f"every corruption must have the same severities, got {sorted(severities)}")
    return {name: _mean(row.values()) for name, row in cells.items()}


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _listed(severities: Iterable[int]) -> str:
    return ", ".join(map(str, severities))


def mean_calibration(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return {measure: mean over corruptions of the means over severities} of an evaluation's rows.

    A measure that some row lacks, as those of older evaluations do, is left out.
    """
    rows = list(rows)
    found = {}
    for measure in MEASURES:
        if rows and all(row.get(measure) is not None for row in rows):
            means = mean_by_corruption({(row["corruption"], row["severity"]): row[measure] for row in rows})
            found[measure] = math.fsum(means.values()) / len(means)
    return found


def table_to_rows(table: ErrorTable) -> list[dict[str, Any]]:
    """Return an error table as raw rows, JSON."""
    return [{"corruption": name, "severity": severity, "error": error} for (name, severity), error in table.items()]


def rows_to_table(rows: list[dict[str, Any]]) -> ErrorTable:
    """Return the error table of ``table_to_rows``."""
    return {(row["corruption"], row["severity"]): row["error"] for row in rows}
