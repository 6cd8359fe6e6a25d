"""ResNets and DenseNets on every corruption of CIFAR-10-C, with and without push–pull (push–pull paper, Table 2).

At the paper's scale: its recipes (section 4.2.2), 19 corruptions × 5 severities. The text writes DenseNet-l-k, the
authors' published files are DenseNet-BC, and so are these. The paper states no number of seeds; six here, the fewest
that can show anything. ``--dataset digits``: the ResNets with 8 filters at first, 8 epochs, digits' corruptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Space
from search_spaces._residual import BASE, BASE_ON_DIGITS, DENSENETS, RESNETS, arms, comparisons, measured, pairs

NAME = "push-pull-table-2"

SPACE = Space(
    name=NAME,
    description="On which corruptions does a push–pull first layer make ResNets and DenseNets hold up?",
    base=BASE,
    arms=arms((*RESNETS, *DENSENETS), recipes=True),
    n_seeds=6,
    comparisons=comparisons((*RESNETS, *DENSENETS)),
    view=NAME,
)

ON = {
    "digits": replace(SPACE, base=BASE_ON_DIGITS, arms=arms(RESNETS, recipes=False), comparisons=comparisons(RESNETS))
}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield the error under each corruption, and what inhibition changes, beside the paper's."""
    from search_spaces._beside import changes_beside, measured_beside, where_computed
    from search_spaces._published import published

    columns, where, paper = [*shown.results.tested, "all"], where_computed(shown.results), published(NAME)
    found = measured(shown, columns)
    networks = [name for name in found if not name.endswith("-PP")]
    yield measured_beside(f"Table 2: error in %, mean over the severities; {where}", found, columns, paper)
    title = f"Table 2: what inhibition changes, in points, paired by seed; {where}"
    yield changes_beside(title, found, pairs(networks), columns, paper, "explored, not tested")
