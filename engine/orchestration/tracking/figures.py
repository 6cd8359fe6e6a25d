"""The figures of a trial and of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def error_by_severity(rows: Rows, clean_error: float, title: str, reference: Mapping[str, Rows] | None = None) -> Figure:
    """Return error against severity, a panel a corruption, severity 0 being the clean images.

    Args:
        rows: [{"corruption", "severity", "error"}].
        clean_error: fraction.
        title: of the figure.
        reference: {label: rows} to draw in grey for comparison.
    """
    names = list(dict.fromkeys(row["corruption"] for row in rows))
    n_columns = min(4, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = Figure(figsize=(3.0 * n_columns + 0.6, 2.6 * n_rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for axis, name in zip(axes, names, strict=False):
        for label, others in (reference or {}).items():
            points = sorted((row["severity"], row["error"]) for row in others if row["corruption"] == name)
            axis.plot(*zip(*points, strict=True), color="0.6", marker=".", linestyle="--", label=label)
        points = [(0, clean_error), *sorted((row["severity"], row["error"]) for row in rows if row["corruption"] == name)]
        axis.plot(*zip(*points, strict=True), color="tab:blue", marker="o", markersize=4)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    figure.supxlabel("severity (0: clean)", fontsize=9)
    figure.supylabel("test error", fontsize=9)
    return figure


def ranking_bars(rankings: Mapping[str, Mapping[str, Any]], selected: Mapping[str, Sequence[int]], title: str) -> Figure:
    """Return each layer's filters by points (filter paper, Fig. 4), the fine-tuned ones marked.

    Args:
        rankings: {layer: {"order", "points", "rule", "n_images"}}.
        selected: {layer: indices of the filters that were fine-tuned}.
        title: of the figure.
    """
    n_columns = min(3, len(rankings))
    n_rows = -(-len(rankings) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 2.4 * n_rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis, (layer, ranking) in zip(axes, rankings.items(), strict=False):
        chosen = set(selected.get(layer, ()))
        colours = ["tab:orange" if index in chosen else "0.65" for index in ranking["order"]]
        axis.bar(range(len(colours)), [ranking["points"][index] for index in ranking["order"]], color=colours)
        axis.set_title(layer, fontsize=9)
        if len(colours) <= 32:
            axis.set_xticks(range(len(colours)), [str(index) for index in ranking["order"]], fontsize=6, rotation=90)
    for axis in axes[len(rankings) :]:
        axis.set_visible(False)
    rule = next(iter(rankings.values()))["rule"]
    figure.supylabel("Borda points" if rule == "borda" else rule, fontsize=9)
    figure.supxlabel("filter, most affected first (orange: fine-tuned)", fontsize=9)
    return figure


def groups_by_severity(groups: Mapping[str, Sequence[Rows]], title: str) -> Figure:
    """Return error against severity for groups of trials: the mean over seeds and each seed, a panel a corruption.

    Args:
        groups: {group: [rows of each seed]}.
        title: of the figure.
    """
    names = list(dict.fromkeys(row["corruption"] for trials in groups.values() for rows in trials for row in rows))
    n_columns = min(4, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = Figure(figsize=(3.2 * n_columns + 0.6, 2.8 * n_rows + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for axis, name in zip(axes, names, strict=False):
        for number, (group, trials) in enumerate(groups.items()):
            colour = f"C{number}"
            lines = [
                dict(sorted((row["severity"], row["error"]) for row in rows if row["corruption"] == name))
                for rows in trials
            ]
            for line in lines:
                axis.plot(list(line), list(line.values()), color=colour, alpha=0.2, linewidth=0.8)
            severities = sorted({severity for line in lines for severity in line})
            mean = [sum(line[severity] for line in lines) / len(lines) for severity in severities]
            axis.plot(severities, mean, color=colour, marker="o", markersize=4, label=group)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=8)
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("test error (thin: each seed)", fontsize=9)
    return figure
