"""Push–pull inhibition and selective fine-tuning together: is the gain of both the sum of their gains? On digits.

A 2×2 design: with and without push–pull in the first layer, with and without fine-tuning of the most affected quarter
of the filters. The interaction says by how much one helps more, or less, where the other is there too. ``--dataset
cifar10`` is a ResNet-20 by the push–pull paper's recipe, tuned by the filter paper's on 5,000 images with AWGN σ 15;
neither paper composes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Shown, ViewPart, register_view
from engine.settings import (
    DistortionSettings,
    EvaluateSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.spaces import Factor, Factorial, Space
from engine.training import RECIPES
from search_spaces._residual import BASE

NAME = "push-pull-by-selective"
ONE, OTHER = "push-pull", "tuning"

SPACE = Space(
    name=NAME,
    description="Do push–pull inhibition and selective fine-tuning add up under corruption?",
    base=TrialConfig(
        model=ModelSettings(name="resnet-8", width=16),
        pretrain=TrainingSettings(epochs=6, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        distortion=DistortionSettings(name="awgn", level=50.0, n_images=200),
        finetune=FinetuneSettings(
            training=TrainingSettings(epochs=6, batch_size=64, learning_rate=1e-3, schedule="constant", patience=15)
        ),
        evaluate=EvaluateSettings(table="auto"),
    ),
    ablations=(
        Factorial(
            name="both",
            factors=(
                Factor(
                    ONE,
                    on={"push_pull.where": "first", "push_pull.h": 2.0, "push_pull.alpha": 1.0},
                    off={"push_pull.where": "none"},
                ),
                Factor(OTHER, on={"finetune.which": "most"}, off={"finetune.which": "none"}),
            ),
            outcomes=("all", "clean"),
        ),
    ),
    n_seeds=8,
    view=NAME,
)

ON = {
    "cifar10": replace(
        SPACE,
        base=BASE.with_settings(
            {
                **RECIPES["adam"].training("finetune.training"),
                "distortion.name": "awgn",
                "distortion.level": 15.0,
                "distortion.n_images": 5000,
            }
        ),
    )
}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield what each method gains, what both gain, and by how much that is not the sum."""
    from search_spaces._additive import additive_parts

    yield from additive_parts(shown, ONE, OTHER)
