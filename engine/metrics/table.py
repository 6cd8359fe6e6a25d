"""Errors by corruption and severity."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from torch import Tensor, nn

from engine.corruptions import corrupt
from engine.data import Split
from engine.metrics.classification import classification_error
from engine.metrics.scores import ErrorTable

T = TypeVar("T")


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
    return errors_by_cell(model, corrupted_splits(split, corruptions, severities, seed=seed, table=table))


def errors_by_cell(model: nn.Module, splits: Iterable[tuple[tuple[str, int], Split]]) -> ErrorTable:
    """Return {(corruption, severity): error} over corrupted splits; each is let go before the next one is made."""
    return by_cell(model, splits, classification_error)


def by_cell(
    model: nn.Module, splits: Iterable[tuple[tuple[str, int], Split]], measure: Callable[[nn.Module, Split], T]
) -> dict[tuple[str, int], T]:
    """Return {(corruption, severity): what is measured of a model} over corrupted splits, as ``errors_by_cell``."""
    found = {}
    for cell, corrupted in splits:
        found[cell] = measure(model, corrupted)
        del corrupted  # or it would live until the next one is there
    return found


def corrupted_splits(
    split: Split, corruptions: Iterable[str], severities: Iterable[int], *, seed: int, table: str
) -> Iterator[tuple[tuple[str, int], Split]]:
    """Yield ((corruption, severity), corrupted split) one by one."""
    for cell in itertools.product(corruptions, severities):
        yield cell, corrupted_split(split, cell, seed=seed, table=table)


def corrupted_split(split: Split, cell: tuple[str, int], *, seed: int, table: str) -> Split:
    """Return a split whose images are corrupted by one (corruption, severity); streamed ones whenever they are read."""

    def change(images: Tensor, indices: Tensor) -> Tensor:
        return corrupt(images, *cell, seed=seed, indices=indices, table=table)

    return split.changed(change)
