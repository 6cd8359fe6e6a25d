"""The figures of a study that tunes filters: accuracy against noisy images (filter paper, Fig. 5), and convergence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from engine.metrics import paired_difference
from search_spaces._tunings import Condition, Course, Tunings

COLOURS = {"most": "tab:red", "least": "tab:blue", "random": "tab:green", "all": "0.3"}
NUDGE = 1.03  # between the choices at one number of images, so that their intervals do not hide each other

Interval = tuple[float, float, float]
"""A mean and the ends of its 95 % interval, in percent or in points."""

Curves = Mapping[str, Mapping[int, Interval]]
"""{label: {number of noisy images: interval}}; the last word of the label decides the colour."""


def curves_of(
    tunings: Tunings, measure: Callable[[Tunings, Condition, int, str], list[float]], labels: Mapping[str, str]
) -> dict[Condition, Curves]:
    """Return the curves of a measure by condition, without what no seed has.

    Args:
        tunings: whose trials are measured.
        measure: gives each seed's share of a condition, a number of noisy images and a choice.
        labels: {label of a curve: its choice}.
    """
    found: dict[Condition, Curves] = {}
    for condition in tunings.conditions():
        curves = {}
        for label, which in labels.items():
            values = {n: measure(tunings, condition, n, which) for n in tunings.numbers(condition)}
            curves[label] = {n: interval(shares) for n, shares in values.items() if shares}
        if any(curves.values()):
            found[condition] = {label: by_number for label, by_number in curves.items() if by_number}
    return found


def curves_figure(
    found: Mapping[Condition, Curves],
    units: Mapping[str, str],
    *,
    title: str,
    measure: str,
    level: Mapping[Condition, float],
    level_label: str,
) -> Figure:
    """Return something against the number of noisy images, a row a distortion and a column a level (as Fig. 5).

    Args:
        found: {condition: curves}.
        units: {distortion: its level in words, to be formatted}.
        title: of the figure.
        measure: what the curves show.
        level: {condition: where a dotted line is}.
        level_label: what that is.
    """
    rows: dict[str, list[Condition]] = {}
    for condition in found:
        rows.setdefault(condition.distortion, []).append(condition)
    n_columns = max(map(len, rows.values()))
    figure = Figure(figsize=(max(6.6, 3.1 * n_columns + 0.6), 2.7 * len(rows) + 0.9), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(rows), n_columns, squeeze=False)
    for row, conditions in enumerate(rows.values()):
        for axis in axes[row, len(conditions) :]:
            axis.set_visible(False)
        for axis, condition in zip(axes[row], conditions, strict=False):
            _curves(axis, found[condition])
            if condition in level:
                axis.axhline(level[condition], color="0.5", linestyle=":", linewidth=1, label=level_label)
            unit = units.get(condition.distortion, "{:g}").format(condition.level)
            axis.set_title(f"{condition.distortion}, {unit}", fontsize=9)
            axis.set_xlabel("noisy training images" if row == len(rows) - 1 else "", fontsize=8)
        axes[row, 0].set_ylabel(measure, fontsize=8)
    _legend(figure)
    return figure


def _curves(axis: Any, curves: Curves) -> None:
    for place, (label, by_number) in enumerate(curves.items()):
        numbers, values = sorted(by_number), [by_number[n] for n in sorted(by_number)]
        bars = [[mean - low for mean, low, _ in values], [high - mean for mean, _, high in values]]
        nudged = [n * NUDGE ** (place - (len(curves) - 1) / 2) for n in numbers]
        means = [value[0] for value in values]
        colour = COLOURS[label.split()[-1]]
        axis.errorbar(nudged, means, bars, color=colour, marker="o", markersize=3, linewidth=1, capsize=2, label=label)
    ticks = sorted({n for by_number in curves.values() for n in by_number})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def _legend(figure: Figure) -> None:
    """Add one legend of what any of the panels shows: of a study that is being run, the first may lack some."""
    labelled = [axis.get_legend_handles_labels() for axis in figure.axes]
    found = {label: handle for shown in labelled for handle, label in zip(*shown, strict=True)}
    if found:
        handles, labels = list(found.values()), list(found)
        figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=len(labels), frameon=False)


def convergence_figure(courses: Mapping[Condition, Mapping[str, Course]], n_images: int, title: str) -> Figure:
    """Return validation accuracy against epochs and against seconds, a row a condition.

    Args:
        courses: {condition: {choice: its course}}.
        n_images: how many noisy images were tuned on.
        title: of the figure.
    """
    figure = Figure(figsize=(7.0, 2.6 * len(courses) + 0.9), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(courses), 2, squeeze=False, sharey="row")
    for row, (condition, by_choice) in enumerate(courses.items()):
        for which, course in by_choice.items():
            values = [interval(epoch) for epoch in course.accuracy]
            times = [sum(epoch) / len(epoch) for epoch in course.seconds]
            for axis, along in zip(axes[row], (list(range(1, len(values) + 1)), times), strict=True):
                axis.plot(along, [v[0] for v in values], color=COLOURS[which], marker="o", markersize=2.5, label=which)
                low, high = [v[1] for v in values], [v[2] for v in values]
                axis.fill_between(along, low, high, color=COLOURS[which], alpha=0.12, linewidth=0)
        axes[row, 0].set_ylabel(f"{condition}, {n_images} images:\nvalidation accuracy in %", fontsize=8)
        axes[row, 0].set_ylim(top=min(100.0, axes[row, 0].get_ylim()[1]))
        for axis in axes[row]:
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("epochs of tuning", fontsize=8)
    axes[-1, 1].set_xlabel("seconds of tuning, mean over seeds", fontsize=8)
    _legend(figure)
    return figure


def interval(shares: Sequence[float]) -> Interval:
    """Return mean and 95 % interval in percent; of a single seed the interval is the mean."""
    found = paired_difference([100 * share for share in shares], [0.0] * len(shares))
    return (found.mean, found.low, found.high) if found.n > 1 else (found.mean, found.mean, found.mean)
