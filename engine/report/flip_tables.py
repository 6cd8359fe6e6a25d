"""How steady answers are along perturbation sequences, as tables: of one network, and of a study's arms."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from engine.metrics import Baseline, flip_scores
from engine.metrics.flip_rates import FlipScores
from engine.report.columns import MOST, batched
from engine.report.groups import GroupSummary
from engine.report.text_tables import Table, percent_text

TITLE = "Flip probability in %, mean ±std over seeds; top-5 distance in places"


def flip_grid(errors: Mapping[str, Any], baseline: Baseline | None = None) -> list[Table]:
    """Return the table of a network's flip probabilities by sequence and against a baseline; none without any.

    Args:
        errors: of an evaluation, as its ``errors.json`` has them.
        baseline: what flip rates are against; None for none.
    """
    rows = errors["test"].get("sequences")
    if not rows:
        return []
    scores = flip_scores(rows, baseline)
    columns = ["sequence", "frames", "flips", "top-5 distance", *(["FR", "T5D ratio"] if scores.FR else [])]
    lines = []
    for row in rows:
        cells = [str(row["frames"]), f"{100 * row['flip_probability']:.2f}", f"{row['top5_distance']:.2f}"]
        for ratios in (scores.FR, scores.T5D_ratios):
            cells += [] if ratios is None else [f"{100 * ratios[row['sequence']]:.1f}"]
        lines.append((row["sequence"], *cells))
    title = f"answers that flip from frame to frame, in %   difficulty {rows[0]['difficulty']}"
    return [Table(title, columns, lines, align="l" + "r" * (len(columns) - 1), caption=_caption(scores, baseline))]


def _caption(scores: FlipScores, baseline: Baseline | None) -> str:
    said = f"mean flip probability {scores.FP:.2%}   mean top-5 distance {scores.T5D:.2f}"
    if baseline is None:
        return said
    if scores.mFR is None or scores.mT5D is None:
        return f"{said}\nno mFR: {scores.reason}"
    return f"{said}\nmFR {100 * scores.mFR:.1f}   mT5D {100 * scores.mT5D:.1f}   in % of {baseline.source}"


def group_flip_tables(groups: Sequence[GroupSummary], *, by: str = "kind") -> list[Table]:
    """Return the flip probabilities of a study's groups, mean ± standard deviation over seeds; none without any.

    Args:
        groups: of the study.
        by: "kind" for the means over all sequences; "corruption" for tables with a column a sequence behind that.
    """
    measured = {group.name: [_rows(trial.errors) for trial in group.trials] for group in groups}
    names = list(dict.fromkeys(name for found in measured.values() for rows in found for name in rows))
    if not names:
        return []
    lines = [
        (
            group.name,
            str(sum(bool(rows) for rows in measured[group.name])),
            percent_text([_mean(rows, "flip_probability") for rows in measured[group.name] if rows]),
            _places([_mean(rows, "top5_distance") for rows in measured[group.name] if rows]),
        )
        for group in groups
    ]
    caption = f"Means over {len(names)} perturbation sequence{'s' * (len(names) > 1)} of the test images: "
    caption += f"{', '.join(names)}; difficulty {_difficulties(measured)}."
    if any(trial.dead and _rows(trial.errors) for group in groups for trial in group.trials):
        caption += " Answers of a dead network hardly ever flip: that is no steadiness."
    tables = [Table(TITLE, ("", "n", "flips", "top-5 distance"), lines, align="lrrr", caption=caption)]
    for some in batched(names, MOST) if by == "corruption" else ():
        lines_of = [
            (
                group.name,
                *(
                    percent_text([rows[name]["flip_probability"] for rows in measured[group.name] if name in rows])
                    for name in some
                ),
            )
            for group in groups
        ]
        tables.append(Table("Flip probability in %: by sequence", ("", *some), lines_of, align="l" + "r" * len(some)))
    return tables


def _rows(errors: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Return {sequence: its row} of a trial's errors."""
    return {row["sequence"]: row for row in (errors or {"test": {}})["test"].get("sequences", ())}


def _difficulties(measured: Mapping[str, list[dict[str, Mapping[str, Any]]]]) -> str:
    found = {row["difficulty"] for trials in measured.values() for rows in trials for row in rows.values()}
    return " and ".join(map(str, sorted(found)))


def _mean(rows: Mapping[str, Mapping[str, Any]], measure: str) -> float:
    return statistics.fmean(row[measure] for row in rows.values())


def _places(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f" ±{statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread}"
