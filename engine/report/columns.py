"""The columns of error tables: clean images, kinds of corruption or each corruption, and all of them together."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator
from typing import TypeVar

from engine.corruption_kinds import ALL, CLEAN, by_kind
from engine.metrics import mean_by_corruption
from engine.metrics.scores import ErrorTable

T = TypeVar("T")

MOST = 6
"""Columns of a table, at most, where there may be any number of them: more don't fit on a page."""
OTHERS = "others"


def errors_by_column(table: ErrorTable, clean: float) -> dict[str, float]:
    """Return a network's error by every column that a table may have, over all severities.

    They are the clean error, the mean of each kind that was tested, each corruption's, and the mean of them all.
    """
    by_corruption = mean_by_corruption(table) if table else {}
    errors = {CLEAN: clean}
    for kind, names in by_kind(by_corruption).items():
        errors[kind] = statistics.fmean(by_corruption[name] for name in names)
    errors |= by_corruption
    return errors | ({ALL: statistics.fmean(by_corruption.values())} if by_corruption else {})


def kind_columns(corruptions: Iterable[str]) -> list[str]:
    """Return a column a kind, between clean images' and that of all; a corruption alone is called by its name."""
    kinds = by_kind(corruptions)
    inner = [kind if len(names) > 1 else names[0] for kind, names in kinds.items()]
    return [CLEAN, *inner, *([ALL] if inner else [])]


def merged_kinds(corruptions: Iterable[str]) -> dict[str, list[str]]:
    """Return {kind: its corruptions} of the kinds whose column is a mean over several."""
    return {kind: names for kind, names in by_kind(corruptions).items() if len(names) > 1}


def corruption_columns(corruptions: Iterable[str]) -> dict[str, list[str]]:
    """Return {what they are: a column each}, table by table: every kind's own, then those that have no kind."""
    kinds = by_kind(corruptions)
    tables = {kind: names for kind, names in kinds.items() if names != [kind]}
    alone = [kind for kind, names in kinds.items() if names == [kind]]
    for number, names in enumerate(batched(alone, MOST), start=1):
        tables[OTHERS if len(alone) <= MOST else f"{OTHERS}, {number}"] = list(names)
    return tables


def batched(things: Iterable[T], most: int) -> Iterator[tuple[T, ...]]:
    """Yield things some at a time, so many at most."""
    left = iter(things)
    while found := tuple(itertools.islice(left, most)):
        yield found
