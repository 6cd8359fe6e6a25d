"""Mean error on CIFAR-10-C of ResNets and DenseNets with and without push–pull (push–pull paper, Fig. 7).

Its trials are those of Table 2, at both scales: in one store they are computed once. The paper draws bars; the numbers
beside them are its Table 2's means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Plot, Shown, ViewPart, register_view
from search_spaces import push_pull_table_2
from search_spaces._residual import measured, pairs

NAME = "push-pull-fig-7"

SPACE = replace(
    push_pull_table_2.SPACE,
    name=NAME,
    description="Does a push–pull first layer make ResNets and DenseNets err less under corruption on average?",
    view=NAME,
)

ON = {
    name: replace(space, name=NAME, description=SPACE.description, view=NAME)
    for name, space in push_pull_table_2.ON.items()
}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield the mean error of each network beside the paper's, as a table and as dots."""
    from search_spaces._beside import bars_beside, changes_beside, measured_beside, where_computed
    from search_spaces._published import published

    found, where, paper = measured(shown, ["all"]), where_computed(shown.results), published(NAME)
    networks = [name for name in found if not name.endswith("-PP")]
    table = measured_beside(f"Fig. 7: mean error under corruption in %; {where}", found, ["all"], paper)
    yield table
    title = f"Fig. 7: what inhibition changes, in points, paired by seed; {where}"
    yield changes_beside(title, found, pairs(networks), ["all"], paper)
    yield Plot("fig-7", lambda: bars_beside(f"Fig. 7; {where}", found, ["all"], paper, "error in %"), table)
