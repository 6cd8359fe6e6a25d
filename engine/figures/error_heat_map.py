"""The figure of a trial's errors as colours, a row a corruption and a column a severity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from engine.figures.lettering import font, title_lines
from engine.figures.panels import LINE_IN, Rows, Template, ceiling

_DPI = 90


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
    template, colours = _heat_map_template(names, severities, top, len(lines))
    colours.set_data(values)
    image = template.image([colours], lines)
    _write_numbers(image, colours.axes, values, top)
    return image


@lru_cache(maxsize=16)
def _heat_map_template(
    names: tuple[str, ...], severities: tuple[int, ...], top: float, n_lines: int
) -> tuple[Template, Any]:
    """Return the heat map and its colours."""
    width, above = _heat_map_width(names, severities), 0.2 + LINE_IN * n_lines
    height = max(1.5, 0.24 * len(names)) + 0.55 + above  # the label of the colours needs so much
    figure = Figure(figsize=(width, height), dpi=_DPI)
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
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xticks(range(len(severities)), [str(severity) for severity in severities], fontsize=8)
    axis.set_xlabel("severity", fontsize=9)
    figure.colorbar(colours, cax=bar).set_label("test error (cells: in %)", fontsize=8)
    bar.tick_params(labelsize=7)
    return Template(figure), colours


def _write_numbers(image: Image.Image, axis: Any, values: np.ndarray, top: float) -> None:
    """Write the numbers into the cells: by Pillow, which takes a twentieth of the time that matplotlib's texts take."""
    drawing, letters = ImageDraw.Draw(image), font(7, _DPI)
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            across, up = axis.transData.transform((x, y))
            colour = "black" if value > 0.6 * top else "white"
            drawing.text((across, image.height - up), f"{100 * value:.1f}", fill=colour, font=letters, anchor="mm")


def _heat_map_width(names: Sequence[str], severities: Sequence[int]) -> float:
    """Return the width in inches of a heat map."""
    return _names_width(names) + max(1.5, 0.5 * len(severities)) + 1.0


def _names_width(names: Sequence[str]) -> float:
    """Return the width in inches of names beside a heat map."""
    return 0.25 + 0.078 * max(map(len, names))
