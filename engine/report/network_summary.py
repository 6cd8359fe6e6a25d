"""A network's test in one short table: clean images, each suite of corruptions, sequences, calibration, a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.corruption_kinds import C_BAR, KINDS, kind_of
from engine.metrics import MEASURES, Baseline, corruption_scores, flip_scores, mean_calibration
from engine.metrics.scores import rows_to_table
from engine.report.text_tables import Table, number_text

_RATIOS = ("mCE", "rCE", "mFR")
_COLUMNS = ("error", *MEASURES.values(), "mCE", "rCE", "flips", "T5D", "mFR")


def summary_rows(errors: Mapping[str, Any], baseline: Baseline | None = None) -> list[dict[str, Any]]:
    """Return a row for the clean images, each suite that was tested, and the sequences, unrounded.

    Args:
        errors: of an evaluation, as its ``errors.json`` has them.
        baseline: what mCE, rCE and mFR are against; None for none.

    Returns:
        {"images": which; "error", "ECE", "NLL", "Brier", "mCE", "rCE", "flips", "T5D", "mFR": those that it has}:
        fractions and ratios, T5D in places.
    """
    test = errors["test"]
    calibration = {MEASURES[name]: value for name, value in test.get("calibration", {}).items() if name in MEASURES}
    rows: list[dict[str, Any]] = [{"images": "clean", "error": test["clean"], **calibration}]
    for suite, of in _suites(test["corrupted"]).items():
        known = baseline is not None and all(row["corruption"] in baseline.errors for row in of)
        scores = corruption_scores(rows_to_table(of), test["clean"], baseline if known else None)
        means = {MEASURES[name]: value for name, value in mean_calibration(of).items()}
        rows.append({"images": suite, "error": scores.E, **means, "mCE": scores.mCE, "rCE": scores.rCE})
    if test.get("sequences"):
        flips = flip_scores(test["sequences"], baseline)
        images = f"P, {_counted(len(test['sequences']), 'sequence')}"
        rows.append({"images": images, "flips": flips.FP, "T5D": flips.T5D, "mFR": flips.mFR})
    return rows


def _suites(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return {what they are: rows} of the benchmark's corruptions, C-bar's, and a user's own."""
    found: dict[str, list[dict[str, Any]]] = {"C": [], "C-bar": [], "others": []}
    for row in rows:
        kind = kind_of(row["corruption"])
        found["C-bar" if kind == C_BAR else "C" if kind in KINDS else "others"].append(dict(row))
    counts = {suite: len({row["corruption"] for row in of}) for suite, of in found.items()}
    return {f"{suite}, {_counted(n, 'corruption')}": found[suite] for suite, n in counts.items() if n}


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n > 1 else ''}"


def summary_table(errors: Mapping[str, Any], baseline: Baseline | None = None) -> Table:
    """Return ``summary_rows`` as a table, in %: NLL, Brier and T5D as they are."""
    rows = summary_rows(errors, baseline)
    columns = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows)]
    lines = [(row["images"], *(_cell(name, row.get(name)) for name in columns)) for row in rows]
    said = (
        ""
        if baseline is None
        else f"{', '.join(name for name in _RATIOS if name in columns)} in % of {baseline.source}"
    )
    return Table(
        "in short: errors, ECE and flips in %",
        ("images", *columns),
        lines,
        align="l" + "r" * len(columns),
        caption=said,
    )


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name in ("NLL", "Brier", "T5D"):
        return number_text(value)
    return f"{100 * value:.1f}"
