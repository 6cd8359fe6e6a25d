"""A network's test errors as a table: corruptions by severities, and what they are against a baseline."""

from __future__ import annotations

from engine.metrics import Baseline, corruption_scores
from engine.report.measurement import recorded_measurement
from engine.report.text_tables import Table
from engine.stages.evaluate import rows_to_table


def error_grid(errors: dict, baseline: Baseline | None = None, *, is_trial: bool = True) -> Table:
    """Return the test errors as a table, corruptions by severities, and what they are against a baseline.

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
    scores = None if baseline is None else corruption_scores(rows_to_table(rows), clean, baseline)
    columns, lines = ["corruption", *map(str, severities), "mean"], []
    if is_trial:
        caption = f"objective {errors['objective']:.2%}: {recorded_measurement(errors).objective_in_words()}"
    else:
        caption = f"mean error {means.E:.2%} over all of these, E"
    if baseline is not None and scores is not None:
        columns += ["CE", "rCE"]
        ratios = f"mCE {_percent(scores.mCE)}   rCE {_percent(scores.rCE)}   in % of {baseline.source}"
        caption = "\n".join([caption, ratios, *(f"no rCE: {reason}" for reason in scores.reasons.values())])
    for name in dict.fromkeys(row["corruption"] for row in rows):
        cells = [row["error"] for row in rows if row["corruption"] == name]
        words = [f"{100 * cell:.1f}" for cell in (*cells, sum(cells) / len(cells))]
        if scores is not None:
            words += [_percent((scores.CE or {}).get(name)), _percent((scores.rCE_by_corruption or {}).get(name))]
        lines.append((name, *words))
    return Table(title, columns, lines, align="l" + "r" * (len(columns) - 1), caption=caption)


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:.1f}"
