"""The figure of response maps under noise (push–pull paper, Fig. 2)."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from engine.figures.lettering import give_title
from engine.metrics import ResponseStability

LABELS = {"convolution": "convolution alone", "push-pull": "push–pull", "push-pull, rectified": "push–pull, rectified"}


def response_figure(found: ResponseStability, title: str, unit: str) -> Figure:
    """Return an image at rising noise over a filter's maps, without and with inhibition, a column a level.

    Maps of a row share their colours; blue is inhibition, below 0. Above each map stands how its layer's maps correlate
    with the clean ones, over all filters and images.

    Args:
        found: what is shown.
        title: of the figure.
        unit: what the levels are ("variance").
    """
    n_levels, kinds = len(found.levels), list(found.maps)
    figure = Figure(figsize=(1.35 * n_levels + 1.1, 1.55 * (1 + len(kinds)) + 0.7), dpi=110, layout="constrained")
    give_title(figure, title)
    axes = figure.subplots(1 + len(kinds), n_levels, squeeze=False)
    for column, level in enumerate(found.levels):
        picture = found.images[column].permute(1, 2, 0).numpy()
        axes[0, column].imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes[0, column].set_title(f"{unit} {level:g}" if column else "clean", fontsize=8)
    axes[0, 0].set_ylabel("image", fontsize=8)
    for row, kind in enumerate(kinds, start=1):
        limit = float(found.maps[kind].abs().max()) or 1.0
        for column in range(n_levels):
            axes[row, column].imshow(found.maps[kind][column].numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes[row, column].set_title(f"r = {found.correlation[kind][column]:.2f}", fontsize=8)
        axes[row, 0].set_ylabel(LABELS[kind], fontsize=8)
    for axis in axes.ravel():
        _without_ticks(axis)
    return figure


def _without_ticks(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
