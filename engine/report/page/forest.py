"""Forest plots: every seed as a dot, the mean and its 95 % interval; of groups, and of what was declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.metrics import PairedDifference, paired_difference
from engine.report.groups import GroupSummary
from engine.report.page.drawing import Drawing, Picture
from engine.report.page.scaling import Scale, spread, x_axis
from engine.report.text_tables import Table
from engine.report.verdicts import Finding, outcome_words, subject_words

_WIDTH, _ROW, _TOP, _SIDE = 345.0, 36.0, 24.0, 10.0


@dataclass(frozen=True)
class ForestRow:
    """A row of a forest plot.

    Attributes:
        name: of it.
        values: one a seed, fractions.
        is_marked: whether it is shown in the colour of what is shown.
        note: behind its numbers.
    """

    name: str
    values: Sequence[float]
    is_marked: bool = False
    note: str = ""


def groups_forest(groups: Sequence[GroupSummary], columns: Sequence[str]) -> Picture:
    """Return the groups' test errors, a panel a column of errors, which all share one scale."""
    panels = {
        column: [ForestRow(group.name, group.errors.get(column, ()), note=_dead(group)) for group in groups]
        for column in columns
    }
    title = "Test errors: every seed, mean and 95 % interval"
    return Picture(
        title,
        _panels(panels, "test error in %"),
        _data(panels, "errors", "test error of each seed in %"),
        "A dot is a network (one seed), the line its group’s 95 % t interval, the tick its mean. "
        "“all” is the mean over all corruptions that were tested.",
    )


def declared_forest(found: Sequence[Finding]) -> Picture:
    """Return the declared comparisons' differences, a panel an outcome, which all share one scale."""
    panels: dict[str, list[ForestRow]] = {}
    for one in found:
        values = one.evidence.values if one.evidence is not None else ()
        row = ForestRow(subject_words(one.contrast), values, one.is_starred, " *" * one.is_starred)
        panels.setdefault(outcome_words(one.outcome), []).append(row)
    return Picture(
        "Declared comparisons: difference of every seed, mean and 95 % interval",
        _panels(panels, "difference in points (left of 0: fewer errors)", zero=True),
        _data(panels, "where", "difference of each seed in points"),
        "A dot is a difference on one seed. An interval is each comparison’s own; "
        + ("* and colour mark what" if any(one.is_starred for one in found) else "none")
        + " is shown after the correction for all of them.",
    )


def _dead(group: GroupSummary) -> str:
    return f", {len(group.dead)} dead" if group.dead else ""


def _panels(panels: dict[str, list[ForestRow]], unit: str, *, zero: bool = False) -> list[str]:
    every = [value for rows in panels.values() for row in rows for value in (*row.values, *_ends(row.values))]
    low, high = spread(every or [0.0], zero=zero)
    if not zero:
        low = max(0.0, low)
    return [_panel(name, rows, Scale(low, high, _SIDE, _WIDTH - _SIDE), unit, zero) for name, rows in panels.items()]


def _panel(name: str, rows: Sequence[ForestRow], scale: Scale, unit: str, zero: bool) -> str:
    bottom = _TOP + _ROW * len(rows)
    drawing = Drawing(_WIDTH, bottom + 36, f"{name}: {', '.join(row.name for row in rows)}")
    drawing.text(_SIDE, 14, name, "head")
    x_axis(drawing, scale, _TOP, bottom, unit)
    for place, row in enumerate(rows):
        top = _TOP + _ROW * place
        if zero:  # below the row's words, which it would strike through
            drawing.line([(scale(0.0), top + 17), (scale(0.0), top + _ROW)], "axis")
        _row(drawing, row, scale, top)
    return drawing.svg()


def _row(drawing: Drawing, row: ForestRow, scale: Scale, top: float) -> None:
    look = "c1" if row.is_marked else "c0"
    numbers = _words(row)
    drawing.text(_WIDTH - _SIDE, top + 13, numbers, "small end halo")
    drawing.text(_SIDE, top + 13, row.name, "label halo", most=_WIDTH - 2 * _SIDE - 6.4 * len(numbers) - 8)
    if not row.values:
        return
    y = top + 25
    low, high = _ends(row.values)
    drawing.line([(scale(low), y), (scale(high), y)], f"thick {look}")
    mean = math.fsum(row.values) / len(row.values)
    drawing.line([(scale(mean), y - 6), (scale(mean), y + 6)], f"thick {look}")
    drawing.dots([(scale(value), y) for value in row.values], f"seed {look}")


def _words(row: ForestRow) -> str:
    if not row.values:
        return "no seed"
    found = _interval(row.values)
    interval = "" if math.isnan(found.low) else f" [{100 * found.low:z.1f}, {100 * found.high:z.1f}]"
    return f"{100 * found.mean:z.1f}{interval}".replace("-", "−") + f" n={found.n}{row.note}"


def _interval(values: Sequence[float]) -> PairedDifference:
    return paired_difference(values, [0.0] * len(values))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a mean's interval; the mean twice where there is none."""
    if not values:
        return (0.0, 0.0)
    found = _interval(values)
    return (found.mean, found.mean) if math.isnan(found.low) else (found.low, found.high)


def _data(panels: dict[str, list[ForestRow]], what: str, values: str) -> Table:
    rows = []
    for name, found in panels.items():
        for row in found:
            low, high = _ends(row.values)
            mean = f"{100 * math.fsum(row.values) / len(row.values):.3f}" if row.values else "–"
            ends = (f"{100 * low:.3f}", f"{100 * high:.3f}") if len(row.values) > 1 else ("–", "–")
            rows.append((name, row.name, mean, *ends, " ".join(f"{100 * value:.3f}" for value in row.values)))
    return Table("", (what, "", "mean", "low", "high", values), rows, align="llrrrl")
