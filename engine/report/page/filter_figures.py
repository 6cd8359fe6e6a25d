"""Tuned filters and learned strengths: how affected each filter is, what tuning gave, which α kernels have learned."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.report.page.drawing import LETTER, Drawing, Picture, colour
from engine.report.page.scaling import Scale, spread, x_axis, y_axis
from engine.report.page.stored_values import Strengths, TunedFilters
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.report.trial_results import TrialResult

_WIDTH, _HEIGHT, _LEFT, _TOP = 345.0, 170.0, 34.0, 40.0
_MOST_LAYERS = 6


def borda_bars(found: Sequence[TunedFilters]) -> Picture:
    """Return how affected each filter of each layer is, the tuned ones in colour (filter paper, Fig. 4)."""
    panels, rows = [], []
    for one in found:
        name = _whose(one.trial)
        for layer, ranking in list(one.rankings.items())[:_MOST_LAYERS]:
            panels.append(_points_bars(f"{name}: {layer}", ranking, set(one.chosen.get(layer, ()))))
        for layer, ranking in one.rankings.items():
            tuned = set(one.chosen.get(layer, ()))
            rows += [
                (name, layer, str(place), f"{points:g}", "yes" if place in tuned else "")
                for place, points in enumerate(ranking["points"])
            ]
    more = max((len(one.rankings) for one in found), default=0) > _MOST_LAYERS
    return Picture(
        "How affected each filter is",
        panels,
        Table("", ("", "layer", "filter", "points", "tuned"), rows, align="llrrl"),
        "Borda points per image, or what else elected them; in colour those that were tuned. One trial of each group."
        + f" Of each the first {_MOST_LAYERS} layers are drawn." * more,
        [("c1", "tuned"), ("faded", "not tuned")],
    )


def distance_bars(found: Sequence[TunedFilters]) -> Picture:
    """Return how far apart each filter's responses to clean and noisy images are, the tuned ones in colour.

    That is the disparity of the filter paper's Fig. 6 as a ranking knows it: a number a filter, before the tuning.
    """
    panels, rows = [], []
    for one in found:
        name = _whose(one.trial)
        measured = {layer: ranking for layer, ranking in one.rankings.items() if ranking.get("mean_distance")}
        for place, (layer, ranking) in enumerate(measured.items()):
            tuned, distances = set(one.chosen.get(layer, ())), ranking["mean_distance"]
            if place < _MOST_LAYERS:
                label = f"{name}: {layer}"
                about = f"clean against noisy responses of each filter, {label}"
                panels.append(_bars(label, about, distances, tuned, one.distance))
            rows += [
                (name, layer, str(number), f"{distance:.6g}", one.distance, "yes" if number in tuned else "")
                for number, distance in enumerate(distances)
            ]
    return Picture(
        "Disparity between each filter’s responses to clean and noisy images",
        panels,
        Table("", ("", "layer", "filter", "mean distance", "measured by", "tuned"), rows, align="llrrll"),
        "Mean distance between the maps of clean and noisy images, before the tuning; in colour the filters that were "
        f"tuned then. One trial of each group, its first {_MOST_LAYERS} layers at most.",
        [("c1", "tuned"), ("faded", "not tuned")],
    )


def has_distances(found: Sequence[TunedFilters]) -> bool:
    """Return whether some ranking has distances beside its points; those without a vote have them as points."""
    return any(
        ranking.get("mean_distance") and ranking["rule"] != "distance"
        for one in found
        for ranking in one.rankings.values()
    )


def _points_bars(name: str, ranking: Mapping[str, Any], chosen: set[int]) -> str:
    is_borda = ranking["rule"] == "borda"
    heights = [points / (ranking["n_images"] if is_borda else 1) for points in ranking["points"]]
    words = "points per image" if is_borda else ranking["rule"]
    return _bars(name, f"how affected each filter is, {name}", heights, chosen, words)


def _bars(name: str, about: str, heights: Sequence[float], chosen: set[int], words: str) -> str:
    drawing = Drawing(_WIDTH, _HEIGHT, about)
    drawing.text(2, 13, name, "head", most=_WIDTH)
    bottom, right = _HEIGHT - 34, _WIDTH - 6
    y = Scale(0.0, 1.05 * (max(heights, default=0.0) or 1.0), bottom, _TOP)
    left = max(_LEFT, 8 + LETTER * max(len(f"{tick:g}") for tick in y.ticks()))
    x = Scale(-0.5, len(heights) - 0.5, left, right)
    y_axis(drawing, y, left, right, words, words=lambda tick: f"{tick:g}")
    whole = [tick for tick in x.ticks(6) if tick == int(tick) and tick >= 0]
    x_axis(drawing, x, bottom, bottom, "filter", ticks=whole, words=lambda tick: f"{tick:g}")
    each = (right - left) / max(1, len(heights))
    for place, height in enumerate(heights):
        look = "c1 fill" if place in chosen else "lostbox"
        top = y(max(0.0, height))
        hint = f"filter {place}: {height:.3g}"
        drawing.box(x(place) - 0.4 * each, top, 0.8 * each, bottom - top, look, hint=hint)
    return drawing.svg()


@dataclass(frozen=True)
class TunedPoint:
    """A trial by what was tuned, on how many noisy images of what.

    Attributes:
        trial: itself.
        distortion: name and level.
        which: "most", "least", "random" or "all".
        n_images: noisy images.
        error: on test images under that distortion, a fraction.
    """

    trial: TrialResult
    distortion: str
    which: str
    n_images: int
    error: float


def tuned_points(results: Results) -> list[TunedPoint]:
    """Return the complete trials that were tuned on a distortion and tested under it."""
    flat, found = results.space.base.flat(), []
    for trial in results.with_state("COMPLETE"):
        settings = flat | dict(trial.settings)
        error = trial.test.get("tuned_distortion")
        if error is not None and settings["finetune.which"] != "none":
            distortion = f"{settings['distortion.name']} {settings['distortion.level']:g}"
            n_images = int(settings["distortion.n_images"])
            found.append(TunedPoint(trial, distortion, settings["finetune.which"], n_images, error))
    return found


def tuning_lines(points: Sequence[TunedPoint]) -> Picture:
    """Return the error under the distortion that was tuned on, by noisy images (filter paper, Fig. 5)."""
    ways = list(dict.fromkeys(point.which for point in points))
    numbers = sorted({point.n_images for point in points})
    low, high = spread([point.error for point in points])
    scales = (max(0.0, low), high)
    panels = [
        _tuning_panel(name, [point for point in points if point.distortion == name], ways, numbers, scales)
        for name in dict.fromkeys(point.distortion for point in points)
    ]
    rows = [
        (
            str(point.trial.number),
            point.trial.slot,
            point.distortion,
            point.which,
            str(point.n_images),
            f"{100 * point.error:.2f}",
        )
        for point in points
    ]
    return Picture(
        "Error under the distortion that filters were tuned on, by noisy images",
        panels,
        Table("", ("trial", "for", "distortion", "which", "noisy images", "error in %"), rows, align="rlllrr"),
        "A dot is a trial, the line the mean of those with the same number of images. Proposals differ in other "
        "settings too: only arms that differ in nothing else are a comparison.",
        [(colour(place), way) for place, way in enumerate(ways)],
    )


def _tuning_panel(
    name: str, points: Sequence[TunedPoint], ways: Sequence[str], numbers: Sequence[int], ends: tuple[float, float]
) -> str:
    drawing = Drawing(_WIDTH, 220, f"error under {name} by noisy images")
    bottom, right = 220 - 36.0, _WIDTH - 8
    drawing.text(2, 13, name, "head", most=_WIDTH)
    y = Scale(*ends, bottom, _TOP)
    x = Scale(-0.5, len(numbers) - 0.5, _LEFT, right)
    y_axis(drawing, y, _LEFT, right, "test error in %")
    places = list(range(len(numbers)))
    x_axis(drawing, x, bottom, bottom, "noisy images", ticks=places, words=lambda tick: str(numbers[int(tick)]))
    for place, way in enumerate(ways):
        shift = (place - (len(ways) - 1) / 2) * 0.12
        mine = [point for point in points if point.which == way]
        by_number = {n: [point.error for point in mine if point.n_images == n] for n in numbers}
        line = [(x(at + shift), y(statistics.fmean(by_number[n]))) for at, n in enumerate(numbers) if by_number[n]]
        if len(line) > 1:
            drawing.line(line, colour(place))
        drawing.dots([(x(numbers.index(one.n_images) + shift), y(one.error)) for one in mine], f"seed {colour(place)}")
    return drawing.svg()


def strengths_dots(found: Sequence[Strengths]) -> Picture:
    """Return the learned strengths, a panel a layer, a row a trial, a dot a kernel."""
    layers = list(dict.fromkeys(layer for one in found for layer in one.by_layer))
    every = [value for one in found for values in one.by_layer.values() for value in values]
    ends = spread([*every, 1.0])
    rows = [
        (_whose(one.trial), layer, str(kernel), f"{value:.4f}")
        for one in found
        for layer, values in one.by_layer.items()
        for kernel, value in enumerate(values)
    ]
    return Picture(
        "Learned inhibition strengths α, a dot a kernel",
        [_strengths_panel(layer, found, ends) for layer in layers],
        Table("", ("", "layer", "kernel", "α"), rows, align="llrr"),
        "The line is α = 1, with which h = 1 would be the plain network; the tick is the mean.",
    )


def _strengths_panel(layer: str, found: Sequence[Strengths], ends: tuple[float, float]) -> str:
    mine = [one for one in found if layer in one.by_layer]
    top, row = 24.0, 34.0
    bottom = top + row * len(mine)
    drawing = Drawing(_WIDTH, bottom + 36, f"learned strengths of {layer}")
    drawing.text(10, 14, layer, "head", most=_WIDTH - 20)
    x = Scale(*ends, 10, _WIDTH - 10)
    x_axis(drawing, x, top, bottom, "α", words=lambda tick: f"{tick:g}")
    drawing.line([(x(1.0), top), (x(1.0), bottom)], "axis")
    for place, one in enumerate(mine):
        y, values = top + row * place + 24, one.by_layer[layer]
        drawing.text(10, y - 11, _whose(one.trial), "label", most=_WIDTH - 20)
        mean = math.fsum(values) / len(values)
        drawing.line([(x(mean), y - 6), (x(mean), y + 6)], "thick c0")
        drawing.dots([(x(value), y) for value in values], "seed c0")
    return drawing.svg()


def _whose(trial: TrialResult) -> str:
    return f"{trial.group}, trial {trial.number}" if trial.group else f"proposal, trial {trial.number}"
