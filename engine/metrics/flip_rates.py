"""Scores of perturbation sequences: mean flip probability, and flip rates against a baseline's."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError
from engine.metrics.scores import Baseline

SEQUENCE_COLUMNS = ("sequence", "frames", "difficulty", "flip_probability", "top5_distance", "zipf_distance")
"""Keys of a row: what was measured along a sequence."""


@dataclass(frozen=True)
class FlipScores:
    """The benchmark's scores of sequences. Ratios: 1.04 is 4 % less steady than the baseline.

    Attributes:
        FP: mean flip probability over the sequences.
        T5D: mean top-5 distance, places.
        FR: flip probability over the baseline's, by sequence; None without a baseline that has all of them.
        mFR: mean of FR.
        T5D_ratios: top-5 distance over the baseline's, by sequence.
        mT5D: mean of these.
        reason: why there are no ratios, though there is a baseline; "" where there are.
    """

    FP: float
    T5D: float
    FR: Mapping[str, float] | None = None
    mFR: float | None = None  # noqa: N815
    T5D_ratios: Mapping[str, float] | None = None
    mT5D: float | None = None  # noqa: N815
    reason: str = ""


def flip_scores(rows: Sequence[Mapping[str, Any]], baseline: Baseline | None = None) -> FlipScores:
    """Return the scores of an evaluation's rows of sequences, one at least."""
    flips, places = (
        statistics.fmean(row[measure] for row in rows) for measure in ("flip_probability", "top5_distance")
    )
    reason = "" if baseline is None else _why_not(rows, baseline)
    if baseline is None or reason:
        return FlipScores(flips, places, reason=reason)
    rates, distances = (_ratios(rows, baseline, measure) for measure in ("flip_probability", "top5_distance"))
    return FlipScores(
        flips, places, rates, statistics.fmean(rates.values()), distances, statistics.fmean(distances.values())
    )


def _ratios(rows: Iterable[Mapping[str, Any]], baseline: Baseline, measure: str) -> dict[str, float]:
    own = {row["sequence"]: row[measure] for row in baseline.sequences}
    return {row["sequence"]: row[measure] / own[row["sequence"]] for row in rows}


def _why_not(rows: Iterable[Mapping[str, Any]], baseline: Baseline) -> str:
    """Return why flip rates against a baseline cannot be; "" where they can."""
    known = {row["sequence"]: row for row in baseline.sequences}
    if not known:
        return f"{baseline.source} has no flip probabilities, as an evaluation's .json has them"
    for row in rows:
        name = row["sequence"]
        if name not in known:
            return f"{baseline.source} has no flip probability for {name}"
        for what in ("frames", "difficulty"):
            if known[name][what] != row[what]:
                return f"{baseline.source} has a {what} of {known[name][what]} for {name}, not {row[what]}"
        if not known[name]["flip_probability"] or not known[name]["top5_distance"]:
            return f"{baseline.source} never changes its answers along {name}, so that there is no ratio to it"
    return ""


def checked_rows(rows: object, source: str) -> tuple[dict[str, Any], ...]:
    """Return rows of sequences that were read from a file.

    Raises:
        InputError: they are no rows, or a number is none that can be.
    """
    found = []
    given: list[Any] = list(rows) if isinstance(rows, list | tuple) else [rows]
    for row in given:
        try:
            numbers = {name: float(row[name]) for name in SEQUENCE_COLUMNS[3:]}
            counts = {name: int(row[name]) for name in SEQUENCE_COLUMNS[1:3]}
            name = str(row["sequence"])
        except (TypeError, KeyError, ValueError) as error:
            columns = ", ".join(SEQUENCE_COLUMNS)
            raise InputError(f"{source}: a row of a sequence must have {columns}, got {row!r}") from error
        if not 0 <= numbers["flip_probability"] <= 1 or not all(
            0 <= value < float("inf") for value in numbers.values()
        ):
            raise InputError(f"{source}: a flip probability is in 0…1 and a distance ≥ 0, got {row!r}")
        found.append({"sequence": name, **counts, **numbers})
    return tuple(found)
