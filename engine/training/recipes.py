"""Training recipes by name: settings that belong together, the papers' own and a fast one.

A recipe sets what it names and nothing else; whatever a person sets besides comes on top. Another one is one call of
``register_recipe``. The papers train on all training images and the push–pull authors keep the epoch that is best on
the test images; here some training images are set apart to choose the epoch by, as the shares below say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError
from engine.registry import Registry
from engine.settings import TrialConfig


@dataclass(frozen=True)
class Recipe:
    """Settings under a name.

    Attributes:
        name: of the recipe.
        description: what it is and where it is from, in a sentence.
        settings: {dotted path: value}.

    Raises:
        InputError: a setting that does not exist, or a value that is not allowed.
    """

    name: str
    description: str
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        TrialConfig().with_settings(self.settings)

    def training(self, prefix: str = "pretrain") -> dict[str, Any]:
        """Return the settings of the training alone, {dotted path: value}, for a space's arm or another training.

        Args:
            prefix: whose training: "pretrain" or "finetune.training".
        """
        return {
            f"{prefix}.{path.removeprefix('pretrain.')}": value
            for path, value in self.settings.items()
            if path.startswith("pretrain.")
        }


RECIPES: Registry[Recipe] = Registry("recipe")


def register_recipe(name: str, description: str, settings: Mapping[str, Any]) -> Recipe:
    """Add a recipe and return it.

    Args:
        name: what ``--recipe`` will call it.
        description: what it is and where it is from, in a sentence.
        settings: {dotted path: value}, of ``pretrain.`` and ``data.``.

    Raises:
        InputError: the name is taken, or a setting does not exist or does not allow its value.
    """
    recipe = Recipe(name, description, dict(settings))
    if name in RECIPES and RECIPES[name] != recipe:
        raise InputError(f"recipe {name!r} is already registered: {RECIPES[name].description}")
    return RECIPES.register(name)(recipe)


def recipe_settings(name: str) -> dict[str, Any]:
    """Return {dotted path: value} of a recipe; raises ``InputError`` for an unknown name (the nearest is suggested)."""
    return dict(RECIPES[name].settings)


_SGD = {"pretrain.optimizer": "sgd", "pretrain.momentum": 0.9, "pretrain.patience": None}
_STEPS = {**_SGD, "pretrain.schedule": "step", "pretrain.learning_rate": 0.1, "pretrain.label_smoothing": 0.0}

register_recipe(
    "lenet",
    "LeNet on MNIST (push–pull paper, section 4.1.1): SGD 0.1, ÷ 10 at epochs 30 and 60 of 90, weight decay 5e-4; the "
    "batch of 128 and gradients of norm 1 at most are chosen here",
    {
        **_STEPS,
        "pretrain.epochs": 90,
        "pretrain.batch_size": 128,
        "pretrain.milestones": [30 / 90, 60 / 90],
        "pretrain.weight_decay": 5e-4,
        "pretrain.max_gradient_norm": 1.0,  # without it some die at this rate, whatever batch, start or input range
        "pretrain.augmentation": "none",
        "data.validation_fraction": 1 / 6,  # 50,000 for training, as the paper counts
    },
)
_RESNET = {
    **_STEPS,
    "pretrain.epochs": 200,
    "pretrain.batch_size": 128,
    "pretrain.milestones": [80 / 200, 120 / 200, 160 / 200],
    "pretrain.weight_decay": 1e-4,
    "pretrain.augmentation": "crop-flip",
    "data.validation_fraction": 0.1,  # 45,000 for training, as He et al. (2016, section 4.2) split
}
register_recipe(
    "resnet",
    "ResNets on CIFAR (push–pull paper, section 4.2.2): SGD 0.1, ÷ 10 at epochs 80, 120 and 160 of 200, batch 128, "
    "weight decay 1e-4, random crops and flips",
    _RESNET,
)
register_recipe(
    "densenet",
    "DenseNets on CIFAR (push–pull paper, section 4.2.2): SGD 0.1, ÷ 10 at epochs 150, 225 and 300 of 350, batch 64, "
    "weight decay 1e-4, random crops and flips",
    {
        **_RESNET,
        "pretrain.epochs": 350,
        "pretrain.batch_size": 64,
        "pretrain.milestones": [150 / 350, 225 / 350, 300 / 350],
    },
)
register_recipe(
    "alexnet",
    "the AlexNet baseline (push–pull paper, appendix 2), whose training the paper does not give: as the ResNets', with "
    "learning rate 0.01, chosen here",
    {**_RESNET, "pretrain.learning_rate": 0.01},
)
register_recipe(
    "adam",
    "the filter paper's networks (section 4.3): Adam with its standard settings, early stopping with patience 15, "
    "80–20 split; the batch of 64 and the limit of 200 epochs are chosen here",
    {
        "pretrain.optimizer": "adam",
        "pretrain.learning_rate": 1e-3,
        "pretrain.schedule": "constant",
        "pretrain.epochs": 200,
        "pretrain.patience": 15,
        "pretrain.batch_size": 64,
        "pretrain.weight_decay": 0.0,
        "pretrain.label_smoothing": 0.0,
        "pretrain.augmentation": "none",
        "data.validation_fraction": 0.2,
    },
)
_FAST = {
    **_SGD,
    "pretrain.schedule": "one-cycle",
    "pretrain.weight_decay": 5e-4,
    "pretrain.label_smoothing": 0.1,
    "pretrain.augmentation": "crop-alternate",
}
register_recipe(
    "fast",
    "few epochs for networks with batch normalisation on images that may be mirrored: SGD one-cycle to 0.2, batch 256, "
    "label smoothing, flips by turns; for digits set pretrain.augmentation=none",
    {**_FAST, "pretrain.epochs": 20, "pretrain.batch_size": 256, "pretrain.learning_rate": 0.2},
)
register_recipe(
    "fast-small",
    "fast for a few thousand images, where it is steps that would be few: SGD one-cycle to 0.1, 45 epochs, batch 32",
    {**_FAST, "pretrain.epochs": 45, "pretrain.batch_size": 32, "pretrain.learning_rate": 0.1},
)
