"""What came after the two papers, as arms: networks with push–pull layers of 2020 and 2024, and ways to tune them.

Everything that is tuned is tuned on Gaussian noise of one level, by the same number of labelled images. BatchNorm's
statistics stand still and γ and β are left alone, so that the arms differ in what is tuned; the two ways without labels
move nothing but those. Each way has the learning rate that ``successors-rates`` finds best for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.settings import (
    DataSettings,
    DistortionSettings,
    EvaluateSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.training import recipe_settings

Settings = Mapping[str, Any]

NETWORKS: dict[str, Settings] = {
    "plain": {"push_pull.where": "none"},
    "push-pull 2020": {"push_pull.where": "first", "push_pull.variant": "2020"},
    "push-pull 2024": {"push_pull.where": "first", "push_pull.variant": "2024"},
}

AUGMENTED: dict[str, Settings] = {
    "": {},
    " + noise": {"perturbation.kind": "noise"},
    " + augmix": {"perturbation.kind": "augmix"},
}
"""{what is added to a network's name: what its training images undergo, beside crops and flips}."""

UNTUNED = "none"
LABELLED: dict[str, Settings] = {
    "most": {"finetune.which": "most"},
    "random": {"finetune.which": "random"},
    "first block": {"finetune.which": "all", "finetune.unit": "block", "finetune.layers": "first"},
    "all": {"finetune.which": "all", "finetune.unit": "block", "finetune.layers": "all"},
    "auto-rgn": {
        "finetune.which": "all",
        "finetune.unit": "layer",
        "finetune.layers": "all",
        "finetune.rates": "gradient",
    },
}
"""What is tuned by labels: the quarter of each layer's filters that noise affects most, as many at random, the block
where the images come in (surgical fine-tuning), everything, and everything by rates of its own."""

UNLABELLED: dict[str, Settings] = {
    "statistics": {"finetune.which": "all", "finetune.method": "statistics"},
    "tent": {"finetune.which": "all", "finetune.method": "tent"},
}
STEPPED: dict[str, Settings] = {**LABELLED, "tent": UNLABELLED["tent"]}
"""What has a learning rate."""

_ON_DIGITS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    *("gaussian_blur", "motion_blur", "contrast", "pixelate"),
)
_ON_FEW_OF_CIFAR = ("gaussian_noise", "shot_noise", "impulse_noise", "gaussian_blur", "contrast", "pixelate")
RATE = "finetune.training.learning_rate"
TUNED_ON = "gaussian_noise"
"""The corruption that is tuned on: the distortion "awgn" of the level of one of its severities."""


def base_on_cifar() -> TrialConfig:
    """Return the full scale: ResNet-20 on CIFAR-10 by the push–pull paper's recipe, all corruptions, σ 0.1."""
    return TrialConfig(
        data=DataSettings(name="cifar10"),
        model=ModelSettings(name="resnet-20"),
        distortion=DistortionSettings(name="awgn", level=25.5, n_images=1000),
        finetune=_tuning(epochs=15, batch_size=64),
        evaluate=EvaluateSettings(),
    ).with_settings(recipe_settings("resnet"))


def base_on_digits() -> TrialConfig:
    """Return the same question on scikit-learn's digits: a small ResNet, σ 0.2, 200 noisy images."""
    return TrialConfig(
        model=ModelSettings(name="resnet-8", width=16),
        pretrain=TrainingSettings(epochs=8, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        distortion=DistortionSettings(name="awgn", level=51.0, n_images=200),
        finetune=_tuning(epochs=12, batch_size=32),
        evaluate=EvaluateSettings(corruptions=_ON_DIGITS, n_probe=60),
    )


def base_on_few_of_cifar() -> TrialConfig:
    """Return the same question on few images of CIFAR-10: a small ResNet, σ 0.1, 400 noisy images."""
    return TrialConfig(
        data=DataSettings(name="cifar10", n_train=2000, n_validation=400, n_test=500),
        model=ModelSettings(name="resnet-8", width=16),
        pretrain=TrainingSettings(epochs=12, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        distortion=DistortionSettings(name="awgn", level=25.5, n_images=400),
        finetune=_tuning(epochs=10, batch_size=32),
        evaluate=EvaluateSettings(corruptions=_ON_FEW_OF_CIFAR, severities=(1, 3, 5), n_probe=60),
    )


def _tuning(*, epochs: int, batch_size: int) -> FinetuneSettings:
    return FinetuneSettings(
        training=TrainingSettings(
            epochs=epochs, batch_size=batch_size, learning_rate=1e-3, schedule="constant", patience=15
        )
    )
