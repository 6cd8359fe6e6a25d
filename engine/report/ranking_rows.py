"""Agreements of rankings as raw rows, and what they come to over draws and seeds."""

from __future__ import annotations

import csv
import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import InputError, writing
from engine.ranking import Agreement, FilterRanking

Row = dict[str, Any]
Rankings = Mapping[str, FilterRanking]
Compare = Callable[[FilterRanking, FilterRanking], Agreement]


def make_row(agreement: Agreement, **what: Any) -> Row:
    """Return an agreement as a row, after what it is of."""
    return {**what, **asdict(agreement)}


def pair_rows(rankings: Mapping[str, Rankings], compare: Compare, **what: Any) -> Iterator[Row]:
    """Yield the agreements of every two of some rankings, a row a layer."""
    for one, other in itertools.combinations(rankings, 2):
        for layer, ranking in rankings[one].items():
            agreement = compare(ranking, rankings[other][layer])
            yield make_row(agreement, **what, layer=layer, ranking=one, other=other, draw=0)


def select(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """Return the rows that have some values."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def mean_and_std(rows: Sequence[Row], measure: str, digits: int) -> str:
    """Return the mean over seeds of the means over draws as text, with the standard deviation of several seeds."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if row[measure] is not None:
            by_seed.setdefault(row["seed"], []).append(row[measure])
    means = [statistics.fmean(values) for values in by_seed.values()]
    if not means:
        return "–"
    text = f"{statistics.fmean(means):.{digits}f}"
    return f"{text} ±{statistics.stdev(means):.{digits}f}" if len(means) > 1 else text


def agreement_cells(rows: Sequence[Row]) -> tuple[str, str, str]:
    """Return matches, Jaccard index and rank correlation as text."""
    return mean_and_std(rows, "matches", 1), mean_and_std(rows, "jaccard", 2), mean_and_std(rows, "rank_correlation", 2)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write the raw rows, as JSON or CSV by the file's name.

    Raises:
        InputError: it ends otherwise, or cannot be written.
    """
    check_rows_path(path)
    with writing("the rows", path), path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".json":
            json.dump(list(rows), file, indent=1)
            return
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def check_rows_path(path: Path) -> None:
    """Raise ``InputError`` unless a file's name says JSON or CSV."""
    if path.suffix not in (".json", ".csv"):
        raise InputError(f"`--rows` must end in .json or .csv, got {path}")
