"""The figure of where a distortion turns filters on or off, network by network (filter paper, Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from engine.figures.lettering import give_title


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
    n_rows, n_columns = max(len(maps), len(images)), 1 + len(n_filters)
    figure = Figure(figsize=(1.9 * n_columns + 0.9, 1.95 * n_rows + 0.9), dpi=110, layout="constrained")
    give_title(figure, title)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_visible(False)
    for row, (name, picture) in enumerate(images.items()):
        _show(axes[row, 0], picture.permute(1, 2, 0).squeeze().numpy(), name, cmap="gray", vmin=0, vmax=255)
    for column, (layer, filters) in enumerate(n_filters.items(), start=1):
        most = max(1, max(int(by_layer[layer].max()) for by_layer in maps.values()))
        for row, (network, by_layer) in enumerate(maps.items()):
            counts = by_layer[layer]
            label = f"{network} ({int(counts.sum()):,})"
            title = f"{layer}\n{label}" if row == 0 else label
            shown = _show(axes[row, column], counts.numpy(), title, cmap="viridis", vmin=0, vmax=most)
        bar = figure.colorbar(shown, ax=axes[: len(maps), column], location="bottom", shrink=0.8, aspect=25)
        bar.set_label(f"filters that differ, of {filters}", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    return figure


def _show(axis: Any, values: Any, title: str, **colours: Any) -> Any:
    axis.set_visible(True)
    axis.set_title(title, fontsize=8)
    return axis.imshow(values, **colours)
