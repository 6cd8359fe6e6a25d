"""Clean error, E, mCE and rCE of ResNets and DenseNets against AlexNet (push–pull paper, Table 3).

At the paper's scale: the trials of Table 2, and the AlexNet of the paper's appendix 2, whose training it does not give
(as the ResNets', with learning rate 0.01). Scores are ratios to the AlexNet trained here, on the same seed's images.
``--dataset digits``: as Table 2, with an AlexNet of an eighth of the filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Arm
from engine.training import RECIPES
from search_spaces import push_pull_table_2
from search_spaces._residual import measured

NAME = "push-pull-table-3"
BASELINE = "AlexNet"
COLUMNS = ["clean", "all", "mCE", "rCE"]

_ALEXNET = {"model.name": "alexnet-cifar", "push_pull.where": "none"}

SPACE = replace(
    push_pull_table_2.SPACE,
    name=NAME,
    description="How do ResNets and DenseNets with a push–pull first layer compare with AlexNet under corruption?",
    arms=(Arm(BASELINE, {**_ALEXNET, **RECIPES["alexnet"].training()}), *push_pull_table_2.SPACE.arms),
    view=NAME,
)

ON = {
    name: replace(
        space, name=NAME, description=SPACE.description, arms=(Arm(BASELINE, _ALEXNET), *space.arms), view=NAME
    )
    for name, space in push_pull_table_2.ON.items()
}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield the scores of each network beside the paper's."""
    from engine.metrics import corruption_scores
    from engine.report.baseline_scores import arm_baseline
    from search_spaces._beside import measured_beside, where_computed
    from search_spaces._published import published

    found, results = measured(shown, ["clean", "all"]), shown.results
    baseline = arm_baseline(f"arm:{BASELINE}", results)
    for group in results.groups():
        for trial in group.trials:
            scores = corruption_scores(trial.table, trial.test_errors()["clean"], baseline)
            for column, value in (("mCE", scores.mCE), ("rCE", scores.rCE)):
                if value is not None:
                    found[group.name].setdefault(column, {})[trial.seed] = value
    yield measured_beside(
        f"Table 3: errors in %, scores in % of those of the AlexNet trained here; {where_computed(results)}",
        found,
        COLUMNS,
        published(NAME),
    )
