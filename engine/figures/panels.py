"""What figures of runs are made of: panels in rows, templates that are drawn once, scales of errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from engine.figures.lettering import as_written, font

Rows = Sequence[Mapping[str, Any]]


LINE_IN = 0.17
"""Height in inches of a line of a title."""
TITLE_IN = 0.08
"""Inches above a title."""
TITLE_POINTS = 9
TITLE_SPACING = 1.25
"""A title's lines, in heights of its letters."""
CEILINGS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Where the scale of errors may end: a few, so that figures can be drawn from templates."""
HEADROOM = 1.2
"""How far above the largest error a panel goes on, for its legend's sake."""


class Template:
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
        image = as_image(self._canvas)
        _write_title(image, title, self._figure.dpi)
        return image


def _write_title(image: Image.Image, lines: Sequence[str], dpi: float) -> None:
    """Write what ``hang_title`` would: by Pillow, which takes a twentieth of the time that matplotlib's texts take."""
    drawing, letters = ImageDraw.Draw(image), font(TITLE_POINTS, dpi)
    for number, line in enumerate(lines):
        place = image.width / 2, TITLE_IN * dpi + number * TITLE_SPACING * TITLE_POINTS / 72 * dpi
        drawing.text(place, line, fill="black", font=letters, anchor="ma")


def ceiling(error: float) -> float:
    """Return where a scale of errors ends that shows one: the next of ``CEILINGS``."""
    return next((top for top in CEILINGS if error <= top), 1.0)


def drawn(figure: Figure) -> Image.Image:
    """Return a figure as an image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return as_image(canvas)


def as_image(canvas: FigureCanvasAgg) -> Image.Image:
    """Return a copy of what was drawn."""
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def hang_title(figure: Figure, lines: Sequence[str]) -> Any:
    """Give a figure a title of some lines, hanging from its upper edge, and return it."""
    y = 1 - TITLE_IN / figure.get_figheight()
    text = "\n".join(lines)
    return figure.suptitle(text, fontsize=TITLE_POINTS, y=y, va="top", linespacing=TITLE_SPACING, parse_math=False)


def panels_width(n_panels: int) -> float:
    """Return the width in inches of a figure of panels, four in a row."""
    return 3.0 * min(4, n_panels) + 0.8


def panels(
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
    width, height = panels_width(len(contents)), 2.5 * n_rows + 0.3 + above + below
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


def finish(axis: Any, title: str) -> None:
    """Give a panel its title; at a fixed height, since a quarter of the drawing goes into finding a free one."""
    axis.set_title(title, fontsize=9, y=1.02)


def line_of(rows: Rows, name: str) -> dict[int, float]:
    """Return {severity: error} of a corruption, by severity."""
    return dict(sorted((row["severity"], row["error"]) for row in rows if row["corruption"] == name))


def as_errors(axis: Any, top: float) -> None:
    """Have a panel show errors, from 0 to where the scale ends."""
    axis.set_ylim(0, top)
    axis.grid(alpha=0.3)
