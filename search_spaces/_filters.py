"""The filter paper's networks, images and levels, at its own scale and on digits, and the spaces that are made of them.

Stated in the paper: the data sets and their 80–20 split; two networks, of which CIFAR-10's has 32 filters in its first
convolution, and CIFAR-100's, an All-CNN with batch normalisation, is tuned in its first three; Adam with its standard
settings, cross entropy, early stopping with patience 15; the most affected quarter of the filters, by Borda's count of
the earth mover's distances. Not stated, and chosen here: what is left of the networks; the three levels of each
distortion (but σ 15); the numbers of noisy images (but Fig. 6's 5,000); batch, and at most 200 epochs. The paper tunes
no random filters, and states no number of seeds; here is that control, and six, the fewest that can show anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.corruption_kinds import TUNED_ON
from engine.settings import (
    DataSettings,
    EvaluateSettings,
    ModelSettings,
    TrialConfig,
)
from engine.spaces import Arm, Comparison
from engine.training import RECIPES, recipe_settings
from search_spaces import selective_digits
from search_spaces._selective import WHICH, grid

UNTUNED = Arm("none", {"finetune.which": "none"}, control=True)
N_SEEDS = 6

MODERATE = (1,)
MODERATE_AND_HIGH = (1, 2)
ALL_LEVELS = (0, 1, 2)
"""Places of a distortion's levels: low, moderate, high."""


@dataclass(frozen=True)
class Scale:
    """How large a study of the paper's is.

    Attributes:
        base: settings of all its trials.
        levels: {distortion: its low, moderate and high level}.
        sizes: numbers of noisy images: few, some, …, many.
        epochs: {number of noisy images: epochs of fine-tuning}; of others it is the base's.
        some: the number of noisy images where one is enough.
        many: where many are asked for.
        pairs: noisy images, and as many clean ones, that rankings with and without pairs are compared on.
        voters: image pairs that a ranking alone is made of.
    """

    base: TrialConfig
    levels: Mapping[str, tuple[float, float, float]]
    sizes: tuple[int, ...]
    epochs: Mapping[int, int]
    some: int
    many: int
    pairs: int
    voters: int

    def arms(
        self,
        places: Sequence[int],
        sizes: Sequence[int],
        which: Sequence[str] = WHICH,
        distortions: Sequence[str] = (),
        **more: Any,
    ) -> Iterator[Arm]:
        """Yield an arm for each distortion, level, number of noisy images and choice of filters.

        Args:
            places: of the levels.
            sizes: numbers of noisy images.
            which: choices of filters.
            distortions: some of them; empty for all.
            more: other settings, as for ``tuning``.
        """
        levels = {name: tuple(self.levels[name][place] for place in places) for name in distortions or self.levels}
        yield from grid(levels, {n: self.epochs.get(n) for n in sizes}, None, which, **more)


def declared(arms: Iterable[Arm], others: Sequence[str] = ("least", "random", "all")) -> tuple[Comparison, ...]:
    """Return what is declared: the most affected filters against other choices, by the distortion tuned on."""
    return tuple(
        Comparison(arm.name, arm.name.replace(" most", f" {other}"), (TUNED_ON,))
        for arm in arms
        if arm.settings["finetune.which"] == "most"
        for other in others
    )


_EVALUATE = EvaluateSettings(
    corruptions=("gaussian_noise", "gaussian_blur"), objective=("gaussian_noise", "gaussian_blur")
)

CIFAR10 = Scale(
    base=TrialConfig(
        data=DataSettings(name="cifar10"),
        model=ModelSettings(name="cnn-2"),
        evaluate=_EVALUATE,
    ).with_settings({**recipe_settings("adam"), **RECIPES["adam"].training("finetune.training")}),
    levels={"awgn": (5.0, 15.0, 25.0), "blur": (1.0, 2.0, 3.0)},
    sizes=(100, 500, 1000, 5000, 20_000),
    epochs={},
    some=1000,
    many=5000,
    pairs=5000,
    voters=40_000,
)

CIFAR100 = replace(
    CIFAR10,
    base=CIFAR10.base.with_settings({"data.name": "cifar100", "model.name": "allconv", "finetune.layers": "first-3"}),
)

DIGITS = Scale(
    base=selective_digits.SPACE.base,
    levels={name: (low, moderate, high) for name, (low, moderate, high) in selective_digits.LEVELS.items()},
    sizes=(25, 100, 800),
    epochs=selective_digits.EPOCHS,
    some=100,
    many=800,
    pairs=400,
    voters=800,
)
"""Trials of the space ``selective-digits``, but on six seeds."""
