"""Where in an image noise switches a study's filters on or off (filter paper, Fig. 6), of its stored networks."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import InputError
from engine.report.disparity_table import BASELINE, interval_text
from engine.report.page.stored_values import SWITCHED, TunedFilters
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.report.views import Plot, Shown
from engine.store import Store

MOST_TUNED = 3
"""Tuned networks that are drawn beside the one before the tuning, at most."""
N_IMAGES = 100
"""Test images that the sums in the table are averaged over, at most."""
UNTUNED = "before the tuning"


def disparity_plot(results: Results, store: Store, filters: Sequence[TunedFilters]) -> Plot | None:
    """Return the maps of a network before its tuning and after it, by each group that began from the same one.

    Args:
        results: of the study.
        store: of its artifacts.
        filters: how trials chose their filters.

    Returns:
        The picture with its numbers; None where no trial has chosen filters.

    Raises:
        InputError: networks or images cannot be had any more.
    """
    from engine.figures.disparity_maps import disparity_figure  # here: no other page needs torch or matplotlib
    from engine.metrics import paired_difference
    from engine.report.network_disparity import disparity_maps, filter_counts, sums_of, test_images

    tuned = _together([one for one in filters if one.chosen], results)
    if not tuned:
        return None
    shown, first = Shown(results, store), tuned[0].trial
    config = results.space.config(first.settings, seed=first.seed)
    words = f"{config.distortion.name} {config.distortion.level:g}"
    clean, noisy = test_images(shown, config.distortion, N_IMAGES)
    trials = {BASELINE: first} | {one.trial.group: one.trial for one in tuned}
    maps = disparity_maps(shown, trials, clean, noisy)
    named = {UNTUNED if which == BASELINE else which: by_layer for which, by_layer in maps.items()}
    n_filters = filter_counts(shown, first, maps)
    title = f"Filters that are positive for one of clean and noisy image only, by place: {words}, seed {first.seed}"
    rows = [
        (
            name,
            layer,
            str(n_filters[layer]),
            f"{sums[layer][0]:,.0f}",
            interval_text(paired_difference(sums[layer], [0.0] * len(sums[layer]))),
        )
        for name, sums in sums_of(named).items()
        for layer in n_filters
    ]
    heads = ("network", "layer", "filters", "sum, as drawn", f"mean sum over {len(clean)} images")
    return Plot(
        "disparity",
        lambda: disparity_figure(
            {"clean": clean[0].cpu(), words: noisy[0].cpu()},
            {name: {layer: counts[0] for layer, counts in by.items()} for name, by in named.items()},
            n_filters,
            f"{title} (in brackets: the sum)",
        ),
        Table(title, heads, rows, align="llrrr"),
    )


def _together(tuned: Sequence[TunedFilters], results: Results) -> list[TunedFilters]:
    """Return those that began from the network of the first, chose of the same layers, and met the same noise."""

    def like(one: TunedFilters) -> tuple[object, ...]:
        config = results.space.config(one.trial.settings, seed=one.trial.seed)
        return one.trial.stages.get("pretrain"), sorted(one.chosen), config.distortion.name, config.distortion.level

    return [one for one in tuned if like(one) == like(tuned[0])][:MOST_TUNED]


def disparity_or_why(results: Results, store: Store, filters: Sequence[TunedFilters]) -> tuple[Plot | None, str]:
    """Return the picture, and why there is none."""
    try:
        return disparity_plot(results, store, filters), ""
    except InputError as error:
        return None, f"{SWITCHED}: {error}"
    except Exception as error:  # networks may be anybody's code, and the page has more to say than they
        return None, f"{SWITCHED}: {type(error).__name__}: {error}"
