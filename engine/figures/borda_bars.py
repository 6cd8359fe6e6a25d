"""The figure of how affected each filter is, by layer and distortion (filter paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from engine.figures.lettering import give_title
from engine.ranking import FilterRanking

PLAIN, CHOSEN, SHARED = "0.75", "tab:orange", "tab:red"


def borda_figure(
    rankings: Mapping[str, Mapping[str, FilterRanking]], n_chosen: Mapping[str, int], title: str
) -> Figure:
    """Return each filter's points per image, a row a distortion and a column a layer.

    The most affected filters are in colour; in another one where they are among the most affected by every distortion.

    Args:
        rankings: {distortion: {layer: ranking}}, the same layers for all.
        n_chosen: {layer: how many filters count as the most affected}.
        title: of the figure.
    """
    sizes = [1.0 + 0.05 * min(96, ranking.n_filters) for ranking in next(iter(rankings.values())).values()]
    figure = Figure(figsize=(max(6.0, sum(sizes) + 0.8), 1.7 * len(rankings) + 1.0), dpi=110, layout="constrained")
    give_title(figure, title)
    axes = figure.subplots(len(rankings), len(n_chosen), squeeze=False, sharey=True, width_ratios=sizes)
    for row, (distortion, by_layer) in enumerate(rankings.items()):
        for column, (layer, ranking) in enumerate(by_layer.items()):
            axis, n = axes[row, column], n_chosen[layer]
            chosen = [set(found[layer].order[:n].tolist()) for found in rankings.values()]
            colours = np.full(ranking.n_filters, PLAIN, dtype=object)
            colours[list(chosen[row])] = CHOSEN
            if len(rankings) > 1:
                colours[list(set.intersection(*chosen))] = SHARED
            heights = ranking.points.double().numpy() / (ranking.n_images if ranking.rule == "borda" else 1)
            axis.bar(np.arange(ranking.n_filters), heights, width=0.8, color=list(colours))
            axis.set_xlim(-0.8, ranking.n_filters - 0.2)
            axis.tick_params(labelsize=7)
            if row == 0:
                axis.set_title(f"{layer} ({n} of {ranking.n_filters})", fontsize=8)
            if row == len(rankings) - 1:
                axis.set_xlabel("filter", fontsize=8)
            if column == 0:
                axis.set_ylabel(f"{distortion}\n{_measure(ranking)}", fontsize=8)
    labels = {CHOSEN: "most affected", **({SHARED: "most affected, by every distortion"} if len(rankings) > 1 else {})}
    handles = [Patch(color=colour, label=label) for colour, label in labels.items()]
    figure.legend(handles=handles, fontsize=7, loc="outside lower right", ncols=2, frameon=False)
    return figure


def _measure(ranking: FilterRanking) -> str:
    return "Borda points\nper image" if ranking.rule == "borda" else ranking.rule
