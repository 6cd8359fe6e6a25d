"""The figures of a trial and of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from engine.corruption_kinds import by_kind
from engine.orchestration.figure_text import as_written, title_lines

Rows = Sequence[Mapping[str, Any]]

LINE_IN = 0.17
"""Height in inches of a line of a title."""
CEILINGS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Where the scale of errors may end: a few, so that figures can be drawn from templates."""
HEADROOM = 1.2
"""How far above the largest error a panel goes on, for its legend's sake."""


class _Template:
    """A figure of which everything but some artists and its title is drawn once, since axes take most of the time.

    Args:
        figure: with the artists (``animated``) in it.
        covers: artists that were drawn with the rest and lie over what is drawn later, such as legends.
    """

    def __init__(self, figure: Figure, covers: Sequence[Any] = ()) -> None:
        self._figure = figure
        self._canvas = FigureCanvasAgg(figure)
        as_written(figure)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(figure.bbox)
        self._covers = [self._canvas.copy_from_bbox(cover.get_window_extent()) for cover in covers]

    def image(self, artists: Iterable[Any], title: Sequence[str]) -> Image.Image:
        """Return the figure with the artists and the lines of a title."""
        self._canvas.restore_region(self._empty)
        for artist in artists:
            artist.axes.draw_artist(artist)
        for cover in self._covers:
            self._canvas.restore_region(cover)
        self._figure.draw_artist(_title(self._figure, title))
        return _as_image(self._canvas)


def error_by_severity(rows: Rows, clean_error: float, title: str) -> Image.Image:
    """Return error against severity, a panel a kind of corruption, severity 0 being the clean images.

    Args:
        rows: [{"corruption", "severity", "error"}].
        clean_error: fraction.
        title: of the figure.
    """
    kinds = tuple((kind, tuple(names)) for kind, names in by_kind(row["corruption"] for row in rows).items())
    lines = title_lines(title, _panels_width(len(kinds)))
    top = ceiling(HEADROOM * max(clean_error, *(row["error"] for row in rows)))
    template, curves = _severity_template(kinds, max(row["severity"] for row in rows), top, len(lines))
    for name, curve in curves.items():
        curve.set_data(*zip((0, clean_error), *_line(rows, name).items(), strict=True))
    return template.image(curves.values(), lines)


@lru_cache(maxsize=16)
def _severity_template(
    kinds: tuple[tuple[str, tuple[str, ...]], ...], most: int, top: float, n_lines: int
) -> tuple[_Template, dict[str, Any]]:
    """Return the figure of errors by severity, and its curves by corruption."""
    figure, panels = _panels(dict(kinds), n_lines, "severity (0: clean)", "test error")
    curves, legends = {}, []
    for axis, (kind, names) in panels:
        for name in names:
            (curves[name],) = axis.plot([], [], marker="o", markersize=3, animated=True)
        _finish(axis, kind)
        legends.append(axis.legend([curves[name] for name in names], names, fontsize=7, loc="upper left"))
        axis.set_xlim(-0.25, most + 0.25)
        axis.set_xticks(range(most + 1))
        _as_errors(axis, top)
    return _Template(figure, legends), curves


def error_heat_map(rows: Rows, title: str) -> Image.Image:
    """Return errors as colours and in percent, a row a corruption and a column a severity.

    The colours go from 0 to just above the largest error.

    Args:
        rows: [{"corruption", "severity", "error"}].
        title: of the figure.
    """
    names = tuple(dict.fromkeys(row["corruption"] for row in rows))
    severities = tuple(sorted({row["severity"] for row in rows}))
    values = np.full((len(names), len(severities)), np.nan)
    for row in rows:
        values[names.index(row["corruption"]), severities.index(row["severity"])] = row["error"]
    lines = title_lines(title, _heat_map_width(names, severities))
    top = ceiling(float(np.nanmax(values)))
    template, colours, numbers = _heat_map_template(names, severities, top, len(lines))
    colours.set_data(values)
    for number, value in zip(numbers, values.ravel(), strict=True):
        number.set_text("" if np.isnan(value) else f"{100 * value:.1f}")
        number.set_color("black" if value > 0.6 * top else "white")
    return template.image([colours, *numbers], lines)


@lru_cache(maxsize=16)
def _heat_map_template(
    names: tuple[str, ...], severities: tuple[int, ...], top: float, n_lines: int
) -> tuple[_Template, Any, list[Any]]:
    """Return the heat map, its colours, and the numbers in its cells."""
    width, above = _heat_map_width(names, severities), 0.2 + LINE_IN * n_lines
    height = max(1.5, 0.24 * len(names)) + 0.55 + above  # the label of the colours needs so much
    figure = Figure(figsize=(width, height), dpi=90)
    axis, bar = figure.subplots(1, 2, width_ratios=(0.5 * len(severities), 0.15))
    figure.subplots_adjust(
        left=_names_width(names) / width,
        right=1 - 0.75 / width,
        bottom=0.5 / height,
        top=1 - above / height,
        wspace=0.1,
    )
    empty = np.full((len(names), len(severities)), np.nan)
    colours = axis.imshow(empty, cmap="viridis", vmin=0, vmax=top, aspect="auto", animated=True)
    numbers = [
        axis.text(x, y, "", fontsize=7, ha="center", va="center", animated=True)
        for y in range(len(names))
        for x in range(len(severities))
    ]
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xticks(range(len(severities)), [str(severity) for severity in severities], fontsize=8)
    axis.set_xlabel("severity", fontsize=9)
    figure.colorbar(colours, cax=bar).set_label("test error (cells: in %)", fontsize=8)
    bar.tick_params(labelsize=7)
    return _Template(figure), colours, numbers


def _heat_map_width(names: Sequence[str], severities: Sequence[int]) -> float:
    """Return the width in inches of a heat map."""
    return _names_width(names) + max(1.5, 0.5 * len(severities)) + 1.0


def _names_width(names: Sequence[str]) -> float:
    """Return the width in inches of names beside a heat map."""
    return 0.25 + 0.078 * max(map(len, names))


def groups_by_severity(groups: Mapping[str, Sequence[Rows]], title: str) -> Image.Image:
    """Return error against severity for groups of trials: the mean over seeds and each seed, a panel a corruption.

    Args:
        groups: {group: [rows of each seed]}.
        title: of the figure.
    """
    every = [row for trials in groups.values() for rows in trials for row in rows]
    names = {row["corruption"]: None for row in every}
    lines = title_lines(title, _panels_width(len(names)))
    columns = max(1, int(_panels_width(len(names)) / (0.7 + 0.075 * max(map(len, groups)))))
    n_legend = -(-len(groups) // columns)
    figure, panels = _panels(names, len(lines), "severity", "test error (thin: each seed)", below=0.2 * n_legend)
    styles: dict[str, dict[str, Any]] = {
        group: {"color": f"C{number % 10}", "linestyle": ("-", "--", ":", "-.")[number // 10 % 4]}
        for number, group in enumerate(groups)
    }
    top = ceiling(1.05 * max(row["error"] for row in every))
    for axis, (name, _) in panels:
        for group, trials in groups.items():
            curves = [_line(rows, name) for rows in trials]
            for curve in curves:
                axis.plot(list(curve), list(curve.values()), **styles[group], alpha=0.2, linewidth=0.8)
            severities = sorted({severity for curve in curves for severity in curve})
            at = {severity: [curve[severity] for curve in curves if severity in curve] for severity in severities}
            mean = [sum(values) / len(values) for values in at.values()]
            axis.plot(severities, mean, **styles[group], marker="o", markersize=3)
        _finish(axis, name)
        _as_errors(axis, top)
    handles = [Line2D([], [], **style, marker="o", markersize=3) for style in styles.values()]
    figure.legend(handles, list(groups), fontsize=8, loc="lower center", ncols=columns, frameon=False)
    as_written(figure)
    _title(figure, lines)
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
    lines = title_lines(title, _panels_width(len(sizes)))
    template, bars = _ranking_template(sizes, f"{measure} (highest: 1)", len(lines))
    for layer, ranking in rankings.items():
        points, chosen = np.asarray(ranking["points"], dtype=float), set(selected.get(layer, ()))
        heights = points / (points.max() if points.max() > 0 else 1)
        for bar, wanted in zip(bars[layer], (False, True), strict=True):
            places = [index for index in range(len(points)) if (index in chosen) == wanted]
            bar.set_segments([((index, 0.0), (index, heights[index])) for index in places])
    return template.image([bar for pair in bars.values() for bar in pair], lines)


@lru_cache(maxsize=16)
def _ranking_template(
    sizes: tuple[tuple[str, int], ...], measure: str, n_lines: int
) -> tuple[_Template, dict[str, list[Any]]]:
    """Return the figure of rankings, and each layer's bars: of the other filters, and of the fine-tuned ones."""
    figure, panels = _panels(dict(sizes), n_lines, "filter (orange: fine-tuned)", measure)
    bars = {}
    for axis, (layer, n_filters) in panels:
        bars[layer] = [
            axis.vlines([], 0, [], color=colour, linewidth=120 / n_filters, animated=True)
            for colour in ("0.65", "tab:orange")
        ]
        axis.set_xlim(-1, n_filters)
        axis.set_ylim(0, 1.05)
        _finish(axis, layer)
    return _Template(figure), bars


def ceiling(error: float) -> float:
    """Return where a scale of errors ends that shows one: the next of ``CEILINGS``."""
    return next((top for top in CEILINGS if error <= top), 1.0)


def _drawn(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _as_image(canvas)


def _as_image(canvas: FigureCanvasAgg) -> Image.Image:
    """Return a copy of what was drawn."""
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _title(figure: Figure, lines: Sequence[str]) -> Any:
    """Give a figure a title of some lines, hanging from its upper edge, and return it."""
    y = 1 - 0.08 / figure.get_figheight()
    return figure.suptitle("\n".join(lines), fontsize=9, y=y, va="top", linespacing=1.25, parse_math=False)


def _panels_width(n_panels: int) -> float:
    """Return the width in inches of a figure of panels, four in a row."""
    return 3.0 * min(4, n_panels) + 0.8


def _panels(
    contents: Mapping[str, Any], n_lines: int, x_label: str, y_label: str, *, below: float = 0.0
) -> tuple[Figure, list[tuple[Any, tuple[str, Any]]]]:
    """Return a figure and its panels, each with an item of the contents, four in a row.

    Args:
        contents: of the panels.
        n_lines: lines of the title that there is room for.
        x_label: below all panels.
        y_label: beside them.
        below: room in inches below everything.
    """
    n_columns = min(4, len(contents))
    n_rows = -(-len(contents) // n_columns)
    above = 0.4 + LINE_IN * n_lines
    width, height = _panels_width(len(contents)), 2.5 * n_rows + 0.3 + above + below
    figure = Figure(figsize=(width, height), dpi=90)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    figure.subplots_adjust(
        left=0.75 / width,
        right=1 - 0.1 / width,
        bottom=(0.6 + below) / height,
        top=1 - above / height,
        hspace=0.45,
        wspace=0.25,
    )
    for axis in axes[len(contents) :]:
        axis.set_visible(False)
    figure.supxlabel(x_label, fontsize=9, y=(0.08 + below) / height, va="bottom")
    figure.supylabel(y_label, fontsize=9)
    return figure, list(zip(axes, contents.items(), strict=False))


def _finish(axis: Any, title: str) -> None:
    """Give a panel its title; at a fixed height, since a quarter of the drawing goes into finding a free one."""
    axis.set_title(title, fontsize=9, y=1.02)


def _line(rows: Rows, name: str) -> dict[int, float]:
    """Return {severity: error} of a corruption, by severity."""
    return dict(sorted((row["severity"], row["error"]) for row in rows if row["corruption"] == name))


def _as_errors(axis: Any, top: float) -> None:
    axis.set_ylim(0, top)
    axis.grid(alpha=0.3)
