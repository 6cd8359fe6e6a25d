"""The figures of a trial and of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from engine.orchestration.families import FAMILIES

Rows = Sequence[Mapping[str, Any]]


def error_by_severity(rows: Rows, clean_error: float, title: str) -> Image.Image:
    """Return error against severity, a panel a kind of corruption, severity 0 being the clean images.

    Every trial has this figure, and most of the time to draw one goes into its axes: those of the last trial are used
    again where they fit.

    Args:
        rows: [{"corruption", "severity", "error"}].
        clean_error: fraction.
        title: of the figure.
    """
    families = tuple((family, tuple(names)) for family, names in _families(rows).items())
    panels = _severity_panels(families, max(row["severity"] for row in rows))
    lines = {name: _line(rows, name) for _, names in families for name in names}
    return panels.image({name: {0: clean_error, **line} for name, line in lines.items()}, title)


class _SeverityPanels:
    """A figure whose axes and legends are drawn once, and whose lines anew for each trial.

    Args:
        families: the corruptions of each panel.
        most: the highest severity.
    """

    def __init__(self, families: Mapping[str, Sequence[str]], most: int) -> None:
        self._figure, panels = _panels(families, "", "severity (0: clean)", "test error")
        self._lines: dict[str, Any] = {}
        legends = []
        for axis, (family, names) in panels:
            for name in names:
                (self._lines[name],) = axis.plot([], [], marker="o", markersize=3, label=name, animated=True)
            _finish(axis, family)
            legends.append(axis.legend(fontsize=7, loc="upper left"))
            axis.set_xlim(-0.25, most + 0.25)
            axis.set_xticks(range(most + 1))
            _as_errors(axis)
        self._n_panels = len(families)
        self._canvas = FigureCanvasAgg(self._figure)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(self._figure.bbox)
        self._legends = [self._canvas.copy_from_bbox(legend.get_window_extent()) for legend in legends]

    def image(self, lines: Mapping[str, Mapping[int, float]], title: str) -> Image.Image:
        """Return the figure with the lines, {corruption: {severity: error}}."""
        self._canvas.restore_region(self._empty)
        for name, line in lines.items():
            self._lines[name].set_data(list(line), list(line.values()))
            self._lines[name].axes.draw_artist(self._lines[name])
        for legend in self._legends:
            self._canvas.restore_region(legend)  # over the lines
        self._figure.draw_artist(self._figure.suptitle(_shortened(title, self._n_panels), fontsize=9))
        return _as_image(self._canvas)


def error_heat_map(rows: Rows, title: str) -> Image.Image:
    """Return errors as colours, a row a corruption and a column a severity; axes of the last trial are used again.

    Args:
        rows: [{"corruption", "severity", "error"}].
        title: of the figure.
    """
    names = tuple(dict.fromkeys(row["corruption"] for row in rows))
    severities = tuple(sorted({row["severity"] for row in rows}))
    values = np.full((len(names), len(severities)), np.nan)
    for row in rows:
        values[names.index(row["corruption"]), severities.index(row["severity"])] = row["error"]
    return _heat_map(names, severities).image(values, title)


class _HeatMap:
    """A heat map whose axes are drawn once, and whose colours anew for each trial."""

    def __init__(self, names: Sequence[str], severities: Sequence[int]) -> None:
        width, height = 4.6, 0.24 * len(names) + 1.3
        self._figure = Figure(figsize=(width, height), dpi=90)
        axis = self._figure.subplots()
        self._figure.subplots_adjust(
            left=1.5 / width, right=1 - 0.3 / width, bottom=0.55 / height, top=1 - 0.45 / height
        )
        empty = np.full((len(names), len(severities)), np.nan)
        self._values = axis.imshow(empty, cmap="viridis", vmin=0, vmax=1, aspect="auto", animated=True)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xticks(range(len(severities)), [str(severity) for severity in severities], fontsize=8)
        axis.set_xlabel("severity", fontsize=9)
        self._figure.colorbar(self._values, ax=axis, label="test error")
        self._canvas = FigureCanvasAgg(self._figure)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(self._figure.bbox)

    def image(self, values: np.ndarray, title: str) -> Image.Image:
        """Return the figure with the values (corruptions, severities)."""
        self._canvas.restore_region(self._empty)
        self._values.set_data(values)
        self._values.axes.draw_artist(self._values)
        self._figure.draw_artist(self._figure.suptitle(_shortened(title, 2), fontsize=9))
        return _as_image(self._canvas)


@lru_cache(maxsize=4)
def _heat_map(names: tuple[str, ...], severities: tuple[int, ...]) -> _HeatMap:
    return _HeatMap(names, severities)


@lru_cache(maxsize=4)
def _severity_panels(families: tuple[tuple[str, tuple[str, ...]], ...], most: int) -> _SeverityPanels:
    return _SeverityPanels(dict(families), most)


def groups_by_severity(groups: Mapping[str, Sequence[Rows]], title: str) -> Image.Image:
    """Return error against severity for groups of trials: the mean over seeds and each seed, a panel a corruption.

    Args:
        groups: {group: [rows of each seed]}.
        title: of the figure.
    """
    names = {row["corruption"]: None for trials in groups.values() for rows in trials for row in rows}
    figure, panels = _panels(names, title, "severity", "test error (thin: each seed)")
    for axis, (name, _) in panels:
        for number, (group, trials) in enumerate(groups.items()):
            lines = [_line(rows, name) for rows in trials]
            for line in lines:
                axis.plot(list(line), list(line.values()), color=f"C{number}", alpha=0.2, linewidth=0.8)
            severities = sorted({severity for line in lines for severity in line})
            mean = [sum(line[severity] for line in lines) / len(lines) for severity in severities]
            axis.plot(severities, mean, color=f"C{number}", marker="o", markersize=3, label=group)
        _finish(axis, name)
        _as_errors(axis)
    panels[0][0].legend(fontsize=7, loc="upper left")
    return _drawn(figure)


def ranking_bars(
    rankings: Mapping[str, Mapping[str, Any]], selected: Mapping[str, Sequence[int]], title: str
) -> Image.Image:
    """Return how affected each filter of each layer is (filter paper, Fig. 4), the fine-tuned ones in colour.

    Args:
        rankings: {layer: {"points", "rule", "n_images"}}.
        selected: {layer: indices of the filters that were fine-tuned}.
        title: of the figure.
    """
    rule = next(iter(rankings.values()))["rule"]
    measure = "Borda points" if rule == "borda" else rule
    figure, panels = _panels(rankings, title, "filter (orange: fine-tuned)", measure, sharey=False)
    for axis, (layer, ranking) in panels:
        points, chosen = ranking["points"], set(selected.get(layer, ()))
        for colour, wanted in (("0.65", False), ("tab:orange", True)):
            indices = [index for index in range(len(points)) if (index in chosen) == wanted]
            axis.vlines(indices, 0, [points[index] for index in indices], color=colour, linewidth=120 / len(points))
        axis.set_xlim(-1, len(points))
        axis.set_ylim(bottom=0)
        _finish(axis, layer)
    return _drawn(figure)


def _drawn(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _as_image(canvas)


def _as_image(canvas: FigureCanvasAgg) -> Image.Image:
    """Return a copy of what was drawn."""
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _panels(
    contents: Mapping[str, Any], title: str, x_label: str, y_label: str, *, sharey: bool = True
) -> tuple[Figure, list[tuple[Any, tuple[str, Any]]]]:
    """Return a figure and its panels, each with an item of the contents, four in a row."""
    n_columns = min(4, len(contents))
    n_rows = -(-len(contents) // n_columns)
    width, height = 3.0 * n_columns + 0.8, 2.5 * n_rows + 0.9
    figure = Figure(figsize=(width, height), dpi=90)
    figure.suptitle(_shortened(title, n_columns), fontsize=9)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=sharey).ravel()
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 0.1 / width, bottom=0.6 / height, top=1 - 0.6 / height, hspace=0.45, wspace=0.25
    )
    for axis in axes[len(contents) :]:
        axis.set_visible(False)
    figure.supxlabel(x_label, fontsize=9)
    figure.supylabel(y_label, fontsize=9)
    return figure, list(zip(axes, contents.items(), strict=False))


def _shortened(title: str, n_columns: int) -> str:
    """Return a title cut to the width of some panels, of which no more than four are beside each other."""
    most = 32 * min(4, n_columns)
    return title if len(title) < most else title[: most - 1] + "…"


def _finish(axis: Any, title: str) -> None:
    """Give a panel its title; at a fixed height, since a quarter of the drawing goes into finding a free one."""
    axis.set_title(title, fontsize=9, y=1.02)


def _families(rows: Rows) -> dict[str, list[str]]:
    """Return the corruptions of the rows by their kind."""
    present = dict.fromkeys(row["corruption"] for row in rows)
    families = {family: [name for name in names if name in present] for family, names in FAMILIES.items()}
    known = {name for names in families.values() for name in names}
    families["other"] = [name for name in present if name not in known]
    return {family: names for family, names in families.items() if names}


def _line(rows: Rows, name: str) -> dict[int, float]:
    """Return {severity: error} of a corruption, by severity."""
    return dict(sorted((row["severity"], row["error"]) for row in rows if row["corruption"] == name))


def _as_errors(axis: Any) -> None:
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
