"""The figure of a trial's filters, how affected each is and which were fine-tuned (filter paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from engine.figures.lettering import title_lines
from engine.figures.panels import Template, finish, panels, panels_width


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
    lines = title_lines(title, panels_width(len(sizes)))
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
) -> tuple[Template, dict[str, list[Any]]]:
    """Return the figure of rankings, and each layer's bars: of the other filters, and of the fine-tuned ones."""
    figure, axes = panels(dict(sizes), n_lines, "filter (orange: fine-tuned)", measure)
    bars = {}
    for axis, (layer, n_filters) in axes:
        bars[layer] = [
            axis.vlines([], 0, [], color=colour, linewidth=120 / n_filters, animated=True)
            for colour in ("0.65", "tab:orange")
        ]
        axis.set_xlim(-1, n_filters)
        axis.set_ylim(0, 1.05)
        finish(axis, layer)
    return Template(figure), bars
