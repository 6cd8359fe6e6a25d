"""Errors by corruption and severity, and the field's scores derived from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from engine.corruptions import corrupt
from engine.data import Split
from engine.errors import InputError
from engine.metrics.errors import classification_error

ErrorTable = dict[tuple[str, int], float]


def error_table(
    model: nn.Module,
    split: Split,
    *,
    corruptions: Iterable[str],
    severities: Iterable[int] = (1, 2, 3, 4, 5),
    seed: int,
    table: str = "cifar-c",
) -> ErrorTable:
    """Return {(corruption, severity): error} of a model; one corrupted set exists at a time.

    Args:
        model: float images in [0, 1] in, logits out.
        split: clean images with their labels and indices.
        corruptions: names, in the order of the result.
        severities: in 1…5.
        seed: what the corruptions' randomness is drawn from, by image index.
        table: the severity table.
    """
    return {
        cell: classification_error(model, corrupted)
        for cell, corrupted in corrupted_splits(split, corruptions, severities, seed=seed, table=table)
    }


def corrupted_splits(
    split: Split, corruptions: Iterable[str], severities: Iterable[int], *, seed: int, table: str
) -> Iterator[tuple[tuple[str, int], Split]]:
    """Yield ((corruption, severity), corrupted split) one by one."""
    for cell in itertools.product(corruptions, severities):
        yield cell, corrupted_split(split, cell, seed=seed, table=table)


def corrupted_split(split: Split, cell: tuple[str, int], *, seed: int, table: str) -> Split:
    """Return a split whose images are corrupted by one (corruption, severity)."""
    images = corrupt(split.images, *cell, seed=seed, indices=split.indices, table=table)
    return Split(images, split.labels, split.indices)


@dataclass(frozen=True)
class Scores:
    """The benchmark's scores (push–pull paper, section 4.2.2). Ratios: 1.04 is 4 % worse than the baseline.

    Attributes:
        E: mean error over all cells.
        E_by_corruption: mean error over the severities, by corruption.
        CE: sum of a corruption's errors over that of the baseline's (equation 1); None without a baseline.
        mCE: mean of CE.
        rCE_by_corruption: the same of the differences to the clean errors (equation 2); None for a corruption on
            which the baseline is not worse than on clean images.
        rCE: mean of rCE_by_corruption; None if one of them is.
    """

    E: float
    E_by_corruption: Mapping[str, float]
    CE: Mapping[str, float] | None = None
    mCE: float | None = None  # noqa: N815
    rCE_by_corruption: Mapping[str, float | None] | None = None  # noqa: N815
    rCE: float | None = None  # noqa: N815


def corruption_scores(
    errors: ErrorTable, clean_error: float, baseline: tuple[Mapping[str, float], float] | None = None
) -> Scores:
    """Return the scores of an error table.

    Args:
        errors: {(corruption, severity): error}, every corruption at the same severities.
        clean_error: the model's error on clean images.
        baseline: ({corruption: mean error over the severities}, clean error) of the network that normalises.

    Raises:
        InputError: an empty or ragged table, or a baseline that lacks a corruption or never errs on one.
    """
    by_corruption = mean_by_corruption(errors)
    overall = _mean(by_corruption.values())
    if baseline is None:
        return Scores(overall, by_corruption)
    baseline_errors, baseline_clean = baseline
    missing = [name for name in by_corruption if name not in baseline_errors]
    if missing:
        raise InputError(f"the baseline has no error for {', '.join(missing)}")
    perfect = [name for name in by_corruption if baseline_errors[name] <= 0]
    if perfect:
        raise InputError(f"the baseline must err for a ratio to it, its error is 0 for {', '.join(perfect)}")
    ratios = {name: error / baseline_errors[name] for name, error in by_corruption.items()}
    relative: dict[str, float | None] = {}
    for name, error in by_corruption.items():
        gap = baseline_errors[name] - baseline_clean
        relative[name] = (error - clean_error) / gap if gap > 0 else None
    known = [ratio for ratio in relative.values() if ratio is not None]
    mean_relative = _mean(known) if len(known) == len(relative) else None
    return Scores(overall, by_corruption, ratios, _mean(ratios.values()), relative, mean_relative)


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
