"""Errors by corruption and severity: lines for each group, and heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.report.groups import GroupSummary
from engine.report.page.drawing import N_COLOURS, Drawing, Picture, colour
from engine.report.page.scaling import Scale, spread, x_axis, y_axis
from engine.report.text_tables import Table

_WIDTH, _HEIGHT, _LEFT, _TOP = 260.0, 190.0, 34.0, 40.0
_CELL_W, _CELL_H = 42.0, 19.0


@dataclass(frozen=True)
class Cells:
    """A group's test errors by corruption and severity.

    Attributes:
        name: of the group.
        clean: error on clean images, one a seed.
        errors: {(corruption, severity): one a seed}; severities ≥ 1.
    """

    name: str
    clean: Sequence[float]
    errors: dict[tuple[str, int], list[float]]

    def mean(self, corruption: str, severity: int) -> float:
        """Return the mean over the seeds; NaN where there is none. Severity 0 are the clean images."""
        values = self.clean if severity == 0 else self.errors.get((corruption, severity), [])
        return math.fsum(values) / len(values) if values else math.nan


def cells_of(group: GroupSummary, tested: Sequence[str]) -> Cells:
    """Return a group's errors under the corruptions that all were tested on."""
    errors: dict[tuple[str, int], list[float]] = {}
    for trial in group.trials:
        for cell, error in trial.table.items():
            if cell[0] in tested:
                errors.setdefault(cell, []).append(error)
    return Cells(group.name, group.errors.get("clean", ()), errors)


def shown_groups(groups: Sequence[GroupSummary], first: Sequence[str]) -> list[GroupSummary]:
    """Return groups with errors, as many as can be told apart; those named first before all others, each in order."""
    found = [group for group in groups if group.trials]
    before = [group for group in found if group.name in first]
    chosen = [*before, *(group for group in found if group.name not in first)][:N_COLOURS]
    return [group for group in found if group in chosen]


def severity_lines(groups: Sequence[Cells], tested: Sequence[str]) -> Picture:
    """Return error against severity, a panel a corruption and a colour a group, all panels on one scale."""
    severities = sorted({0, *(severity for group in groups for _, severity in group.errors)})
    every = [value for group in groups for values in (group.clean, *group.errors.values()) for value in values]
    low, high = spread(every, zero=True)
    panels = [_severity_panel(name, groups, severities, max(0.0, low), high) for name in tested]
    return Picture(
        "Error by severity: mean line, every seed a dot",
        panels,
        cells_table(groups, tested),
        "Severity 0 are the clean images. Several dots above each other are seeds.",
        [(colour(place), group.name) for place, group in enumerate(groups)],
    )


def _severity_panel(name: str, groups: Sequence[Cells], severities: Sequence[int], low: float, high: float) -> str:
    drawing = Drawing(_WIDTH, _HEIGHT, f"error by severity under {name}")
    bottom, right = _HEIGHT - 36, _WIDTH - 8
    y = Scale(low, high, bottom, _TOP)
    x = Scale(-0.3, max(severities) + 0.3, _LEFT, right)
    drawing.text(2, 13, name, "head", most=_WIDTH)
    y_axis(drawing, y, _LEFT, right, "error in %")
    x_axis(drawing, x, bottom, bottom, "severity", ticks=severities, words=lambda tick: str(int(tick)))
    for place, group in enumerate(groups):
        look = colour(place)
        shift = (place - (len(groups) - 1) / 2) * 0.04
        points = [(severity, group.mean(name, severity)) for severity in severities]
        drawing.line([(x(at + shift), y(mean)) for at, mean in points if not math.isnan(mean)], look, hint=group.name)
        seeds = [(0, value) for value in group.clean]
        seeds += [(at, value) for at in severities for value in group.errors.get((name, at), ())]
        drawing.dots([(x(at + shift), y(value)) for at, value in seeds], f"faint {look}")
    return drawing.svg()


def heat_maps(groups: Sequence[Cells], tested: Sequence[str]) -> Picture:
    """Return a heat map a group: a row a corruption, a column a severity, all in the same colours."""
    severities = sorted({severity for group in groups for _, severity in group.errors})
    means = [group.mean(name, at) for group in groups for name in tested for at in severities]
    top = max([value for value in means if not math.isnan(value)], default=0.0) or 1.0
    return Picture(
        "Error by corruption and severity in %, mean over seeds",
        [_heat_map(group, tested, severities, top) for group in groups],
        cells_table(groups, tested),
        f"The same colours for all: from 0 to {100 * top:.1f} %.",
    )


def _heat_map(group: Cells, tested: Sequence[str], severities: Sequence[int], top: float) -> str:
    left = 10 + 6.3 * min(18, max(map(len, tested)))
    width = max(left + _CELL_W * len(severities) + 4, 200)
    drawing = Drawing(width, 40 + _CELL_H * len(tested) + 4, f"error of {group.name} by corruption and severity")
    drawing.text(2, 13, group.name, "head", most=width)
    for column, severity in enumerate(severities):
        drawing.text(left + _CELL_W * (column + 0.5), 34, str(severity), "tick mid")
    drawing.text(left - 5, 34, "severity", "tick end")
    for row, name in enumerate(tested):
        y = 40 + _CELL_H * row
        drawing.text(left - 5, y + 13, name, "tick end", most=left - 4)
        for column, severity in enumerate(severities):
            value, x = group.mean(name, severity), left + _CELL_W * column
            if math.isnan(value):
                continue
            share = value / top
            drawing.box(x, y, _CELL_W - 1, _CELL_H - 1, "heat", opacity=0.06 + 0.94 * share)
            drawing.text(x + _CELL_W / 2 - 0.5, y + 13, f"{100 * value:.1f}", f"cell{_on(share)}")
    return drawing.svg()


def _on(share: float) -> str:
    """Return the class of a number on so much of the colour: what can be read differs between light and dark."""
    return " on" if share > 0.8 else " on half" if share > 0.55 else ""


def cells_table(groups: Sequence[Cells], tested: Sequence[str]) -> Table:
    """Return every cell of every group: its mean, and the error of each seed."""
    rows = []
    for group in groups:
        for name in tested:
            for severity in sorted({at for corruption, at in group.errors if corruption == name}):
                seeds = " ".join(f"{100 * value:.2f}" for value in group.errors[name, severity])
                rows.append((group.name, name, str(severity), f"{100 * group.mean(name, severity):.2f}", seeds))
    return Table("", ("", "corruption", "severity", "mean in %", "each seed in %"), rows, align="llrrl")
