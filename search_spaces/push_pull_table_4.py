"""Upsampling factor and inhibition strength of the first layer under Gaussian noise (push–pull paper, Table 4).

At the paper's scale: a ResNet-14 on CIFAR-10 by the paper's recipe for ResNets (section 4.2.2: 200 epochs, batch 128,
SGD 0.1 divided by 10 at 80, 120 and 160), every h and alpha of the table, and the plain network; with h = 1 and alpha =
1 it is the placebo. The table's own network is another one: it errs less on clean images than the paper's ResNet-56.
The paper states no number of seeds; six here, the fewest that can show anything. ``--dataset digits``: 8 epochs of a
one-cycle schedule, batch 64, and the digits' own levels of noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Plot, Shown, ViewPart, register_view
from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm, Comparison, Space
from engine.training import recipe_settings

NAME = "push-pull-table-4"
H = (1.0, 1.5, 2.0)
ALPHA = (0.5, 1.0, 1.5)
VARIANCES = {1: "0.0001", 2: "0.0005", 3: "0.001", 4: "0.005", 5: "0.01"}
"""{severity of the table "push-pull-cifar": variance of its noise}."""


_ARMS = (
    Arm("plain", {"push_pull.where": "none"}, control=True),
    *(
        Arm(
            f"h={h:g} alpha={alpha:g}",
            {"push_pull.where": "first", "push_pull.h": h, "push_pull.alpha": alpha},
            control=h == alpha == 1,
        )
        for h in H
        for alpha in ALPHA
    ),
)

SPACE = Space(
    name=NAME,
    description="Which upsampling factor and inhibition strength hold up best under Gaussian noise?",
    base=TrialConfig(
        data=DataSettings(name="cifar10"),
        model=ModelSettings(name="resnet-14"),
        evaluate=EvaluateSettings(
            table="push-pull-cifar", corruptions=("gaussian_noise",), objective=("gaussian_noise",)
        ),
    ).with_settings(recipe_settings("resnet")),
    arms=_ARMS,
    n_seeds=6,
    comparisons=tuple(Comparison(arm.name, "plain", ("gaussian_noise",)) for arm in _ARMS if not arm.control),
    view=NAME,
)

ON = {
    "digits": replace(
        SPACE,
        base=TrialConfig(
            model=ModelSettings(name="resnet-14"),
            pretrain=TrainingSettings(epochs=8, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
            evaluate=EvaluateSettings(corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
        ),
    )
}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield errors by level of noise, and what each setting changes, beside the paper's."""
    from engine.corruptions import SEVERITY_TABLES
    from search_spaces._beside import (
        bars_beside,
        changes_beside,
        errors_of_levels,
        mean_of,
        measured_beside,
        where_computed,
    )
    from search_spaces._published import published

    results, paper = shown.results, published(NAME)
    is_paper_s = results.space.base.evaluate.table == "push-pull-cifar"
    levels = VARIANCES if is_paper_s else dict(enumerate(map(_sigma, SEVERITY_TABLES["digits"]["gaussian_noise"]), 1))
    measured = {}
    for group in results.groups():
        columns = errors_of_levels(group, "gaussian_noise", levels)
        measured[group.name] = {**columns, "all noise": mean_of(columns, list(levels.values()))}
    of = f"{results.space.base.model.name} on {where_computed(results)}"
    yield measured_beside(
        f"Table 4: error in % by {'variance' if is_paper_s else 'σ'} of the noise; {of}",
        measured,
        ["clean", *levels.values()],
        paper if is_paper_s else None,
        "" if is_paper_s else "the paper's images and levels of noise are others: only directions can be compared",
    )
    yield changes_beside(
        f"Table 4: difference to plain in points, paired by seed; {of}",
        measured,
        [(row, "plain") for row in measured if row != "plain"],
        ["clean", "all noise"],
        paper,
        "explored, not tested: the verdicts are on what was declared",
    )
    yield Plot(
        "table-4",
        lambda: bars_beside(f"Table 4, {of}", measured, ["clean", "all noise"], paper, "error in %"),
        measured_beside(f"Table 4 as drawn: error in %; {of}", measured, ["clean", "all noise"], paper),
    )


def _sigma(value: object) -> str:
    return f"σ {value}"
