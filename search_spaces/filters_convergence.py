"""How fast tuning selected filters converges beside tuning all, and what it trains (filter paper, section 6).

The paper says "at a considerably faster pace", and shows no curve of it. The first lines of ``_filters.py`` say what is
chosen here. ``--dataset cifar100`` is the All-CNN.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE, N_SEEDS, UNTUNED, Scale, declared

NAME = "filters-convergence"


def _space(scale: Scale) -> Space:
    return Space(
        name=NAME,
        description="Does tuning the most affected filters converge faster than tuning all?",
        base=scale.base,
        arms=(UNTUNED, *scale.arms(MODERATE, (scale.many,))),
        n_seeds=N_SEEDS,
        comparisons=declared(scale.arms(MODERATE, (scale.many,)), ("all",)),
        view=NAME,
    )


SPACE = _space(CIFAR10)

ON = {"cifar100": _space(CIFAR100), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield accuracy epoch by epoch, as a table and as curves, and where it ends."""
    from search_spaces._tuning_views import convergence_parts, table_parts

    yield from convergence_parts(shown, "Convergence")
    yield from table_parts(shown, "Convergence, in the end")
