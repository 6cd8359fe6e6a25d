"""The figures of a trial and of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from engine.corruption_kinds import by_kind

Rows = Sequence[Mapping[str, Any]]


class _Template:
    """A figure of which everything but some artists and its title is drawn once, since axes take most of the time.

    Args:
        figure: with the artists (``animated``) in it.
        n_columns: how many panels wide it is.
        covers: artists that were drawn with the rest and lie over what is drawn later, such as legends.
    """

    def __init__(self, figure: Figure, n_columns: int, covers: Sequence[Any] = ()) -> None:
        self._figure, self._n_columns = figure, n_columns
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(figure.bbox)
        self._covers = [self._canvas.copy_from_bbox(cover.get_window_extent()) for cover in covers]

    def image(self, artists: Iterable[Any], title: str) -> Image.Image:
        """Return the figure with the artists and a title."""
        self._canvas.restore_region(self._empty)
        for artist in artists:
            artist.axes.draw_artist(artist)
        for cover in self._covers:
            self._canvas.restore_region(cover)
        self._figure.draw_artist(self._figure.suptitle(_shortened(title, self._n_columns), fontsize=9))
        return _as_image(self._canvas)


def error_by_severity(rows: Rows, clean_error: float, title: str) -> Image.Image:
    """Return error against severity, a panel a kind of corruption, severity 0 being the clean images.

    Args:
        rows: [{"corruption", "severity", "error"}].
        clean_error: fraction.
        title: of the figure.
    """
    families = tuple((family, tuple(names)) for family, names in by_kind(row["corruption"] for row in rows).items())
    template, lines = _severity_template(families, max(row["severity"] for row in rows))
    for name, line in lines.items():
        line.set_data(*zip((0, clean_error), *_line(rows, name).items(), strict=True))
    return template.image(lines.values(), title)


@lru_cache(maxsize=4)
def _severity_template(
    families: tuple[tuple[str, tuple[str, ...]], ...], most: int
) -> tuple[_Template, dict[str, Any]]:
    """Return the figure of errors by severity, and its lines by corruption."""
    figure, panels = _panels(dict(families), "", "severity (0: clean)", "test error")
    lines, legends = {}, []
    for axis, (family, names) in panels:
        for name in names:
            (lines[name],) = axis.plot([], [], marker="o", markersize=3, label=name, animated=True)
        _finish(axis, family)
        legends.append(axis.legend(fontsize=7, loc="upper left"))
        axis.set_xlim(-0.25, most + 0.25)
        axis.set_xticks(range(most + 1))
        _as_errors(axis)
    return _Template(figure, len(families), legends), lines


def error_heat_map(rows: Rows, title: str) -> Image.Image:
    """Return errors as colours, a row a corruption and a column a severity.

    Args:
        rows: [{"corruption", "severity", "error"}].
        title: of the figure.
    """
    names = tuple(dict.fromkeys(row["corruption"] for row in rows))
    severities = tuple(sorted({row["severity"] for row in rows}))
    values = np.full((len(names), len(severities)), np.nan)
    for row in rows:
        values[names.index(row["corruption"]), severities.index(row["severity"])] = row["error"]
    template, colours = _heat_map_template(names, severities)
    colours.set_data(values)
    return template.image([colours], title)


@lru_cache(maxsize=4)
def _heat_map_template(names: tuple[str, ...], severities: tuple[int, ...]) -> tuple[_Template, Any]:
    """Return the heat map, and its colours."""
    width, height = 4.6, 0.24 * len(names) + 1.3
    figure = Figure(figsize=(width, height), dpi=90)
    axis = figure.subplots()
    figure.subplots_adjust(left=1.5 / width, right=1 - 0.3 / width, bottom=0.55 / height, top=1 - 0.45 / height)
    empty = np.full((len(names), len(severities)), np.nan)
    colours = axis.imshow(empty, cmap="viridis", vmin=0, vmax=1, aspect="auto", animated=True)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xticks(range(len(severities)), [str(severity) for severity in severities], fontsize=8)
    axis.set_xlabel("severity", fontsize=9)
    figure.colorbar(colours, ax=axis, label="test error")
    return _Template(figure, 2), colours


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

    Points are shown as shares of the layer's highest: how many there are depends on the number of images.

    Args:
        rankings: {layer: {"points", "rule", "n_images"}}.
        selected: {layer: indices of the filters that were fine-tuned}.
        title: of the figure.
    """
    rule = next(iter(rankings.values()))["rule"]
    measure = "Borda points" if rule == "borda" else rule
    sizes = tuple((layer, len(ranking["points"])) for layer, ranking in rankings.items())
    template, bars = _ranking_template(sizes, f"{measure} (highest: 1)")
    for layer, ranking in rankings.items():
        points, chosen = np.asarray(ranking["points"], dtype=float), set(selected.get(layer, ()))
        heights = points / (points.max() if points.max() > 0 else 1)
        for bar, wanted in zip(bars[layer], (False, True), strict=True):
            places = [index for index in range(len(points)) if (index in chosen) == wanted]
            bar.set_segments([((index, 0.0), (index, heights[index])) for index in places])
    return template.image([bar for pair in bars.values() for bar in pair], title)


@lru_cache(maxsize=4)
def _ranking_template(sizes: tuple[tuple[str, int], ...], measure: str) -> tuple[_Template, dict[str, list[Any]]]:
    """Return the figure of rankings, and each layer's bars: of the other filters, and of the fine-tuned ones."""
    figure, panels = _panels(dict(sizes), "", "filter (orange: fine-tuned)", measure)
    bars = {}
    for axis, (layer, n_filters) in panels:
        bars[layer] = [
            axis.vlines([], 0, [], color=colour, linewidth=120 / n_filters, animated=True)
            for colour in ("0.65", "tab:orange")
        ]
        axis.set_xlim(-1, n_filters)
        axis.set_ylim(0, 1.05)
        _finish(axis, layer)
    return _Template(figure, len(sizes)), bars


def _drawn(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _as_image(canvas)


def _as_image(canvas: FigureCanvasAgg) -> Image.Image:
    """Return a copy of what was drawn."""
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _panels(
    contents: Mapping[str, Any], title: str, x_label: str, y_label: str
) -> tuple[Figure, list[tuple[Any, tuple[str, Any]]]]:
    """Return a figure and its panels, each with an item of the contents, four in a row."""
    n_columns = min(4, len(contents))
    n_rows = -(-len(contents) // n_columns)
    width, height = 3.0 * n_columns + 0.8, 2.5 * n_rows + 0.9
    figure = Figure(figsize=(width, height), dpi=90)
    figure.suptitle(_shortened(title, n_columns), fontsize=9)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
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


def _line(rows: Rows, name: str) -> dict[int, float]:
    """Return {severity: error} of a corruption, by severity."""
    return dict(sorted((row["severity"], row["error"]) for row in rows if row["corruption"] == name))


def _as_errors(axis: Any) -> None:
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
