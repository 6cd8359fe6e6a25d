"""A network's test errors as a table: corruptions by severities, their calibration, and what they are to a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.metrics import MEASURES, Baseline, corruption_scores, mean_calibration
from engine.metrics.scores import rows_to_table
from engine.report.measurement import recorded_measurement
from engine.report.text_tables import Table, number_text


def error_grid(errors: dict, baseline: Baseline | None = None, *, is_trial: bool = True) -> Table:
    """Return the test errors as a table, corruptions by severities, with the means of their calibration, and what they
    are against a baseline.

    Args:
        errors: of an evaluation, as its ``errors.json`` has them.
        baseline: what CE, mCE and rCE are against; None for none.
        is_trial: whether the network is one of several that are compared, so that the objective is of interest; else
            the caption says the mean error over all corrupted images.
    """
    rows = errors["test"]["corrupted"]
    severities = sorted({row["severity"] for row in rows})
    clean, tuned = errors["test"]["clean"], errors["test"]["tuned_distortion"]
    title = f"test error in %   clean {clean:.2%}" + ("" if tuned is None else f"   distortion tuned on {tuned:.2%}")
    means = corruption_scores(rows_to_table(rows), clean)
    compared = [] if baseline is None else [row for row in rows if row["corruption"] in baseline.errors]
    scores = corruption_scores(rows_to_table(compared), clean, baseline) if compared else None
    overall = mean_calibration(rows)
    columns, lines = ["corruption", *map(str, severities), "mean", *(MEASURES[name] for name in overall)], []
    if is_trial:
        caption = f"objective {errors['objective']:.2%}: {recorded_measurement(errors).objective_in_words()}"
    else:
        caption = f"mean error {means.E:.2%} over all of these, E"
    if baseline is not None and scores is not None:
        columns += ["CE", "rCE"]
        ratios = f"mCE {_percent(scores.mCE)}   rCE {_percent(scores.rCE)}   in % of {baseline.source}"
        lacking = len({row["corruption"] for row in rows}) - len(scores.E_by_corruption)
        ratios += f", which has no error for {lacking} of the corruptions" if lacking else ""
        notes = [baseline.note] if baseline.note else []
        caption = "\n".join([caption, ratios, *notes, *(f"no rCE: {reason}" for reason in scores.reasons.values())])
    clean_calibration = errors["test"].get("calibration", {})
    if overall or clean_calibration:
        caption += f"\n{_calibration_line(clean_calibration, overall)}"
    caption += _not_finite(clean_calibration, rows)
    for name in dict.fromkeys(row["corruption"] for row in rows):
        own = [row for row in rows if row["corruption"] == name]
        cells, calibrated = [row["error"] for row in own], mean_calibration(own)
        words = [f"{100 * cell:.1f}" for cell in (*cells, sum(cells) / len(cells))]
        words += [_measure(measure, calibrated[measure]) for measure in overall]
        if scores is not None:
            words += [_percent((scores.CE or {}).get(name)), _percent((scores.rCE_by_corruption or {}).get(name))]
        lines.append((name, *words))
    return Table(title, columns, lines, align="l" + "r" * (len(columns) - 1), caption=caption)


def _calibration_line(clean: Mapping[str, Any], corrupted: Mapping[str, Any]) -> str:
    """Return the calibration in words: of clean images, and the mean over all of the table."""
    said = {
        images: ", ".join(f"{MEASURES[name]} {_measure(name, values.get(name))}" for name in MEASURES)
        for images, values in (("on clean images", clean), ("on these", corrupted))
        if values
    }
    return "calibration: " + "; ".join(f"{words} {images}" for images, words in said.items()) + " (ECE in %)"


def _not_finite(clean: Mapping[str, Any], rows: list[dict]) -> str:
    """Return a line on where answers are no finite numbers; nothing of calibration that was never measured."""
    n_cells = sum(1 for row in rows if None in (row.get(name, 0) for name in MEASURES))
    places = ["on clean images"] if None in clean.values() else []
    places += [f"in {n_cells} of {len(rows)} cells"] if n_cells else []
    if not places:
        return ""
    where = " and ".join(places)
    return f"\nanswers are not finite {where}: no calibration there, and an image whose answer is NaN counts as wrong"


def _measure(name: str, value: float | None) -> str:
    """Return a measure as it is shown: ECE in %, as errors are."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name == "ece" else number_text(value)


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:.1f}"
