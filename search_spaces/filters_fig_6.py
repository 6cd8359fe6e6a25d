"""Where noise switches filters on or off, before and after tuning (filter paper, section 5.2, Fig. 6).

As there, the All-CNN on CIFAR-100, its first three layers tuned on 5,000 images with AWGN: the untuned network, all
filters tuned, the most affected quarter tuned. The paper shows one image and reads its sums; here they are averaged
over many test images too, with the control that tunes random filters. Its σ is not given; 15 is Table 1's.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Plot, Shown, ViewPart, register_view
from engine.spaces import Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE, N_SEEDS, UNTUNED, Scale

NAME = "filters-fig-6"
WHICH = ("all", "most", "random")
NAMES = {"none": "baseline", **{which: which for which in WHICH}}
N_IMAGES = 1000
"""Test images that the sums are averaged over, at most."""


def _space(scale: Scale) -> Space:
    return Space(
        name=NAME,
        description="Does tuning the most affected filters make responses hold still under noise?",
        base=scale.base,
        arms=(UNTUNED, *scale.arms(MODERATE, (scale.many,), WHICH, ("awgn",))),
        n_seeds=N_SEEDS,
        view=NAME,
    )


SPACE = _space(CIFAR100)

ON = {"cifar10": _space(CIFAR10), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield the sums of the disparity beside the baseline's, and the maps of the first test image and seed."""
    from engine.figures.disparity_maps import disparity_figure
    from engine.report.disparity_table import BASELINE, disparity_table
    from engine.report.network_disparity import disparity_maps, filter_counts, sums_of, test_images
    from engine.report.text_tables import Table
    from search_spaces._disparity import distortion_of, networks_by_seed

    networks = networks_by_seed(shown, WHICH)
    if not networks:
        yield "not shown: no seed has all of its networks"
        return
    first = next(iter(networks.values()))
    distortion = distortion_of(shown, first)
    words = f"{distortion.name} {distortion.level:g}"
    clean, noisy = test_images(shown, distortion, N_IMAGES)
    maps = {seed: disparity_maps(shown, trials, clean, noisy) for seed, trials in networks.items()}
    drawn = next(iter(maps.values()))
    n_filters = filter_counts(shown, first[BASELINE], drawn)
    yield disparity_table([sums_of(of_seed) for of_seed in maps.values()], NAMES, n_filters, words)
    sums = [
        (NAMES[which], *(f"{int(by_layer[layer][0].sum()):,}" for layer in n_filters))
        for which, by_layer in drawn.items()
    ]
    yield Plot(
        "fig-6",
        lambda: disparity_figure(
            {"clean": clean[0].cpu(), words: noisy[0].cpu()},
            {NAMES[which]: {layer: counts[0] for layer, counts in by.items()} for which, by in drawn.items()},
            n_filters,
            f"Fig. 6: tuned on {distortion.n_images} noisy images: filters that are positive for one of clean and "
            "noisy image only (in brackets: the sum)",
        ),
        Table(
            "Fig. 6 as drawn: sums of the first image and seed",
            ("", *n_filters),
            sums,
            align="l" + "r" * len(n_filters),
        ),
    )
