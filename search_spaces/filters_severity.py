"""Whether tuning filters pays under mild, moderate and strong distortion (filter paper, section 5.2).

The paper says of its lowest level, which it does not draw, that there is next to nothing to gain ("an ideal 2 %
margin"), and of the highest that all filters are needed. Its levels are not given; the first lines of ``_filters.py``
say what else is chosen here. ``--dataset cifar100`` is the All-CNN.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Space
from search_spaces._filters import ALL_LEVELS, CIFAR10, CIFAR100, DIGITS, N_SEEDS, UNTUNED, Scale, declared

NAME = "filters-severity"


def _space(scale: Scale) -> Space:
    return Space(
        name=NAME,
        description="At which severities of distortion does tuning the most affected filters pay?",
        base=scale.base,
        arms=(UNTUNED, *scale.arms(ALL_LEVELS, (scale.some,))),
        n_seeds=N_SEEDS,
        comparisons=declared(scale.arms(ALL_LEVELS, (scale.some,)), ("random", "all")),
        view=NAME,
    )


SPACE = _space(CIFAR10)

ON = {"cifar100": _space(CIFAR100), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield accuracies by level, and what the choice of filters changes."""
    from search_spaces._tuning_views import table_parts

    yield from table_parts(shown, "Severity (section 5.2)")
