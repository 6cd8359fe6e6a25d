"""How affected each filter is, and how many of the most affected ones noise and blur share (filter paper, Fig. 4).

The paper draws Borda's count of the first layer under blur, of both networks, and says how many of the most affected
quarter are the same under noise: 6 of 8, and 19 of 24. All training images vote, as there, on an untuned network; what
a trial tunes after that, for one epoch, has no part in it. The levels are chosen here (``_filters.py``). ``--dataset
cifar100`` is the All-CNN.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Plot, Shown, ViewPart, register_view
from engine.spaces import Arm, Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE, N_SEEDS, Scale

NAME = "filters-fig-4"
DISTORTIONS = ("blur", "awgn")


def _space(scale: Scale) -> Space:
    return Space(
        name=NAME,
        description="Do noise and blur affect the same filters?",
        base=scale.base,
        arms=tuple(
            Arm(
                distortion,
                {
                    "distortion.name": distortion,
                    "distortion.level": scale.levels[distortion][MODERATE[0]],
                    "distortion.n_images": scale.voters,
                    "finetune.which": "most",
                    "finetune.training.epochs": 1,
                },
            )
            for distortion in DISTORTIONS
        ),
        n_seeds=N_SEEDS,
        view=NAME,
    )


SPACE = _space(CIFAR10)

ON = {"cifar100": _space(CIFAR100), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield how far the rankings by noise and by blur agree, beside the paper's, and the first seed's bars."""
    from engine.figures.borda_bars import borda_figure
    from engine.report.ranking_tables import distortion_table
    from engine.report.text_tables import Table
    from search_spaces._beside import where_computed
    from search_spaces._published import matches_between_distortions
    from search_spaces._rankings_beside import config_of, n_chosen, overlap_rows, stored_rankings

    found = stored_rankings(shown, {name: name for name in DISTORTIONS})
    if not found:
        yield "not shown: no seed has both rankings"
        return
    overlaps = list(overlap_rows(shown, found))
    yield distortion_table(overlaps, [], f"{where_computed(shown.results)}; {matches_between_distortions()}")
    first = next(iter(found.values()))
    trial = first[DISTORTIONS[0]][0]
    config = config_of(shown, trial)
    chosen = n_chosen(config, first[DISTORTIONS[0]][1])
    words = {name: f"{name} {config_of(shown, one).distortion.level:g}" for name, (one, _) in first.items()}
    rankings = {words[name]: by_layer for name, (_, by_layer) in first.items()}
    title = f"{config.model.name} on {config.data.name}: {config.distortion.n_images} image pairs, seed {trial.seed}"
    rows = [
        (words[name], layer, str(filter), f"{points:g}", "yes" if filter in ranking.order[: chosen[layer]] else "")
        for name, (_, by_layer) in first.items()
        for layer, ranking in by_layer.items()
        for filter, points in enumerate(ranking.points.tolist())
    ]
    yield Plot(
        "fig-4",
        lambda: borda_figure(rankings, chosen, f"Fig. 4: {title}"),
        Table(
            f"Fig. 4 as drawn: points of each filter, {where_computed(shown.results)}, of which the first",
            ("distortion", "layer", "filter", "points", "most affected"),
            rows,
            align="llrrl",
        ),
    )
