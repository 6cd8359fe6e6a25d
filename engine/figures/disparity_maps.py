"""The figure of where a distortion turns filters on or off, network by network (filter paper, Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from engine.figures.lettering import give_title, title_lines

_MAP_IN, _GAP_IN = 1.6, 0.15
"""Width and height of a map in inches, and the room beside it."""
_LINE_IN = 0.17
"""Height in inches of a line of text."""
_BAR_IN, _BELOW_IN = 0.09, 0.5
"""Height in inches of a scale of colours, and the room for its numbers and its label."""


def disparity_figure(
    images: Mapping[str, Tensor], maps: Mapping[str, Mapping[str, Tensor]], n_filters: Mapping[str, int], title: str
) -> Figure:
    """Return an image, clean and noisy, beside the heat maps, a row a network and a column a layer.

    Heat maps of a layer share their colours. In brackets stands the sum of a map, as in the paper.

    Args:
        images: {"clean": uint8 (c, h, w), "awgn 25": …}, at most as many as there are networks.
        maps: {network: {layer: (h, w) counts}}, the same layers for all.
        n_filters: {layer: how many it has}.
        title: of the figure.
    """
    grid = _Grid(max(len(maps), len(images)), 1 + len(n_filters), title)
    for row, (name, picture) in enumerate(images.items()):
        _show(grid.cell(row, 0), picture.permute(1, 2, 0).squeeze().numpy(), name, cmap="gray", vmin=0, vmax=255)
    for column, (layer, filters) in enumerate(n_filters.items(), start=1):
        most = max(1, max(int(by_layer[layer].max()) for by_layer in maps.values()))
        for row, (network, by_layer) in enumerate(maps.items()):
            counts = by_layer[layer]
            label = f"{network} ({int(counts.sum()):,})"
            name = f"{layer}\n{label}" if row == 0 else label
            shown = _show(grid.cell(row, column), counts.numpy(), name, cmap="viridis", vmin=0, vmax=most)
        bar = grid.figure.colorbar(shown, cax=grid.bar(column), orientation="horizontal")
        bar.set_label(f"filters that differ, of {filters}", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    return grid.figure


class _Grid:
    """A figure with places in rows and columns, and a scale below each column.

    Places are laid out by hand: to have matplotlib find them takes longer than to draw all that is there.
    """

    def __init__(self, n_rows: int, n_columns: int, title: str) -> None:
        self._pitch = _MAP_IN + _GAP_IN, _MAP_IN + _GAP_IN + _LINE_IN
        width = _GAP_IN + n_columns * self._pitch[0]
        self._top = (2 + len(title_lines(title, width))) * _LINE_IN
        self._size = width, self._top + n_rows * self._pitch[1] + _BAR_IN + _BELOW_IN
        self.figure = Figure(figsize=self._size, dpi=110)
        give_title(self.figure, title, above=_LINE_IN / 2)

    def cell(self, row: int, column: int) -> Any:
        """Return the axes at a place."""
        axis = self._axes(column, self._top + row * self._pitch[1] + _LINE_IN, _MAP_IN)
        axis.set_xticks([])
        axis.set_yticks([])
        return axis

    def bar(self, column: int) -> Any:
        """Return the axes of the scale below a column."""
        return self._axes(column, self._size[1] - _BELOW_IN - _BAR_IN, _BAR_IN)

    def _axes(self, column: int, top: float, height: float) -> Any:
        width, whole = self._size
        left = _GAP_IN + column * self._pitch[0]
        return self.figure.add_axes((left / width, 1 - (top + height) / whole, _MAP_IN / width, height / whole))


def _show(axis: Any, values: Any, title: str, **colours: Any) -> Any:
    axis.set_title(title, fontsize=8, y=1.02)
    return axis.imshow(values, **colours)
