"""The ResNets and DenseNets of the push–pull paper, with and without a push–pull first layer (section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable

from engine.report.views import Shown
from engine.settings import DataSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm, Comparison
from engine.training import RECIPES, recipe_settings

RESNETS = ("ResNet-20", "ResNet-32", "ResNet-44", "ResNet-56")
DENSENETS = ("DenseNet-40-12", "DenseNet-100-12", "DenseNet-100-24")
BASE = TrialConfig(data=DataSettings(name="cifar10"), model=ModelSettings(name="resnet-20")).with_settings(
    recipe_settings("resnet")
)
"""CIFAR-10 by the paper's recipe for ResNets, tested on all of CIFAR-10-C's corruptions."""

BASE_ON_DIGITS = TrialConfig(
    model=ModelSettings(name="resnet-20", width=8),
    pretrain=TrainingSettings(epochs=8, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
)


def pairs(networks: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return (network with inhibition, the same without)."""
    return tuple((f"{network}-PP", network) for network in networks)


def arms(networks: Iterable[str], *, recipes: bool) -> tuple[Arm, ...]:
    """Return the networks without and with a push–pull first layer, h = 2 and alpha = 1.

    Args:
        networks: as the paper calls them.
        recipes: whether each is trained by its family's recipe; else as the base says.
    """
    return tuple(
        Arm(
            f"{network}{'-PP' * inhibited}",
            {
                "model.name": network.lower().replace("densenet-", "densenet-bc-"),
                "push_pull.where": "first" if inhibited else "none",
                **(RECIPES[network.partition("-")[0].lower()].training() if recipes else {}),
            },
        )
        for network in networks
        for inhibited in (False, True)
    )


def comparisons(networks: Iterable[str]) -> tuple[Comparison, ...]:
    """Return what is declared: each network with inhibition against the same without, over all corruptions."""
    return tuple(Comparison(inhibited, plain) for inhibited, plain in pairs(networks))


def measured(shown: Shown, columns: Iterable[str]) -> dict[str, dict[str, dict[int, float]]]:
    """Return {arm: {column: {seed: test error}}}."""
    from search_spaces._beside import errors_by_column

    columns = list(columns)
    return {group.name: errors_by_column(group, columns) for group in shown.results.groups()}
