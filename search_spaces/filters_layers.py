"""Filters of one tuned layer against filters of several (filter paper, section 5.2).

The paper says that several are better, and gives no numbers. The first lines of ``_filters.py`` say what is chosen
here. ``--dataset cifar100`` is the All-CNN: its first layer against its first three.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.corruption_kinds import TUNED_ON
from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Comparison, Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE, N_SEEDS, UNTUNED, Scale

NAME = "filters-layers"


def _space(scale: Scale) -> Space:
    cells = MODERATE, (scale.some, scale.many)
    return Space(
        name=NAME,
        description="Is tuning filters of several layers better than of the first one alone?",
        base=scale.base,
        arms=(UNTUNED, *scale.arms(*cells), *scale.arms(*cells, finetune__layers="first")),
        n_seeds=N_SEEDS,
        comparisons=tuple(
            Comparison(arm.name, f"{arm.name} first", (TUNED_ON,)) for arm in scale.arms(*cells, which=("most",))
        ),
        view=NAME,
    )


SPACE = _space(CIFAR10)

ON = {"cifar100": _space(CIFAR100), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield one layer against several, and what the choice of filters changes where several are tuned."""
    from search_spaces._tuning_tables import layers_table
    from search_spaces._tuning_views import table_parts
    from search_spaces._tunings import Tunings

    found = layers_table(shown, Tunings(shown.results))
    if found is not None:
        yield found
    yield from table_parts(shown, "Several layers (section 5.2)")
