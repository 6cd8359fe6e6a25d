"""The figure of one image under every corruption and severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from engine.figures.lettering import give_title


def corruption_figure(clean: Tensor, rows: Mapping[str, Sequence[Tensor]], title: str) -> Figure:
    """Return a grid with a row a corruption and a column a severity; the first column is the clean image.

    Args:
        clean: uint8 (c, side, side).
        rows: {corruption: its images by severity, like the clean one}.
        title: of the figure.
    """
    n_columns = 1 + max(len(images) for images in rows.values())
    figure = Figure(figsize=(0.9 * n_columns + 1.6, 0.9 * len(rows) + 0.8), dpi=110, layout="constrained")
    give_title(figure, title)
    axes = figure.subplots(len(rows), n_columns, squeeze=False)
    for row, (name, images) in enumerate(rows.items()):
        for axis, image in zip(axes[row], (clean, *images), strict=False):
            axis.imshow(image.permute(1, 2, 0).numpy().squeeze(), cmap="gray", vmin=0, vmax=255)
        axes[row, 0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    for column, axis in enumerate(axes[0]):
        axis.set_title(f"severity {column}" if column else "clean", fontsize=8)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    return figure
