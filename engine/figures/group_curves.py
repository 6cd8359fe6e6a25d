"""The figure of a sweep's arms by severity, a panel a corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D
from PIL import Image

from engine.figures.lettering import as_written, title_lines
from engine.figures.panels import Rows, as_errors, ceiling, drawn, finish, hang_title, line_of, panels, panels_width


def groups_by_severity(groups: Mapping[str, Sequence[Rows]], title: str) -> Image.Image:
    """Return error against severity for groups of trials: the mean over seeds and each seed, a panel a corruption.

    Args:
        groups: {group: [rows of each seed]}.
        title: of the figure.
    """
    every = [row for trials in groups.values() for rows in trials for row in rows]
    names = {row["corruption"]: None for row in every}
    lines = title_lines(title, panels_width(len(names)))
    columns = max(1, int(panels_width(len(names)) / (0.7 + 0.075 * max(map(len, groups)))))
    n_legend = -(-len(groups) // columns)
    figure, axes = panels(names, len(lines), "severity", "test error (thin: each seed)", below=0.2 * n_legend)
    styles: dict[str, dict[str, Any]] = {
        group: {"color": f"C{number % 10}", "linestyle": ("-", "--", ":", "-.")[number // 10 % 4]}
        for number, group in enumerate(groups)
    }
    top = ceiling(1.05 * max(row["error"] for row in every))
    for axis, (name, _) in axes:
        for group, trials in groups.items():
            curves = [line_of(rows, name) for rows in trials]
            for curve in curves:
                axis.plot(list(curve), list(curve.values()), **styles[group], alpha=0.2, linewidth=0.8)
            severities = sorted({severity for curve in curves for severity in curve})
            at = {severity: [curve[severity] for curve in curves if severity in curve] for severity in severities}
            mean = [sum(values) / len(values) for values in at.values()]
            axis.plot(severities, mean, **styles[group], marker="o", markersize=3)
        finish(axis, name)
        as_errors(axis, top)
    handles = [Line2D([], [], **style, marker="o", markersize=3) for style in styles.values()]
    figure.legend(handles, list(groups), fontsize=8, loc="lower center", ncols=columns, frameon=False)
    as_written(figure)
    hang_title(figure, lines)
    return drawn(figure)
