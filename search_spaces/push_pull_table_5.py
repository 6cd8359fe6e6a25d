"""Fixed against learned inhibition strength, ResNet-20 and ResNet-56 (push–pull paper, section 4.4, Table 5).

At the paper's scale: CIFAR-10 by its recipe for ResNets, tested on CIFAR-10-C. One strength a kernel is learned, as
the authors' code does; it starts at the 1 of the fixed one here, where that code draws it about 0.5. The paper states
no number of seeds; six here, the fewest that can show anything. ``--dataset digits``: 8 filters at first, 8 epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Arm, Comparison, Space
from search_spaces._residual import BASE, BASE_ON_DIGITS, arms, measured

NAME = "push-pull-table-5"
NETWORKS = ("ResNet-20", "ResNet-56")
PAIRS = tuple(
    pair
    for network in NETWORKS
    for pair in (
        (f"{network}-PP", network),
        (f"{network}-PP-learned", network),
        (f"{network}-PP-learned", f"{network}-PP"),
    )
)

SPACE = Space(
    name=NAME,
    description="Does learning the inhibition strength make ResNets hold up better than a fixed one?",
    base=BASE,
    arms=(
        *arms(NETWORKS, recipes=False),
        *(
            Arm(
                f"{network}-PP-learned",
                {"model.name": network.lower(), "push_pull.where": "first", "push_pull.learn_alpha": "kernel"},
            )
            for network in NETWORKS
        ),
    ),
    n_seeds=6,
    comparisons=tuple(Comparison(one, other) for one, other in PAIRS),
    view=NAME,
)

ON = {"digits": replace(SPACE, base=BASE_ON_DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield errors with fixed and with learned strength beside the paper's."""
    from search_spaces._beside import changes_beside, measured_beside, where_computed
    from search_spaces._published import published

    found, where, paper = measured(shown, ["clean", "all"]), where_computed(shown.results), published(NAME)
    yield measured_beside(f"Table 5: error in %; {where}", found, ["clean", "all"], paper)
    title = f"Table 5: differences in points, paired by seed; {where}"
    yield changes_beside(title, found, PAIRS, ["clean", "all"], paper, "explored, not tested")
