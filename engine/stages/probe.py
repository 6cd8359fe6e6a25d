"""The probe: a small corrupted validation set by which the epochs of trainings are watched.

Trials are pruned on it; it decides nothing about a training itself, neither its weights nor its best epoch. So its
settings are no part of a stage's key, and an epoch's record says whose probe it was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from engine.corruptions import corrupt
from engine.data import DataSet, Split
from engine.metrics import classification_error
from engine.metrics.errors import error_and_loss
from engine.training.loop import Judge

CORRUPTION_SEED = 0
"""The corruptions of evaluation are drawn once for all trials: they meet the same images."""

VALIDATION = "validation"
TEST = "test"


def corruption_seed(part: str) -> int:
    """Return the seed by which the images of a split are corrupted; the splits are drawn apart."""
    return CORRUPTION_SEED + (VALIDATION, TEST).index(part)


def make_probe(data: DataSet, settings: Mapping[str, Any]) -> Split:
    """Return validation images, each corrupted by one (corruption, severity) in turn.

    Args:
        data: whose validation images are taken, ``n_probe`` at most, evenly spread over them: a folder's lie class by
            class.
        settings: "table", "corruptions", "severities" and "n_probe".
    """
    validation = data.validation
    if len(validation) > settings["n_probe"]:
        validation = validation.take(torch.arange(settings["n_probe"]) * len(validation) // settings["n_probe"])
    cells = [(name, severity) for name in settings["corruptions"] for severity in settings["severities"]]
    images = validation.images.clone()
    turn = torch.arange(len(validation), device=images.device) % len(cells)
    for number, (name, severity) in enumerate(cells):
        chosen = (turn == number).nonzero().flatten()
        if len(chosen):
            images[chosen] = corrupt(
                validation.images[chosen],
                name,
                severity,
                seed=corruption_seed(VALIDATION),
                indices=validation.indices[chosen],
                table=settings["table"],
            )
    return Split(images, validation.labels, validation.indices)


def make_judge(validation: Split, probe: Split) -> Judge:
    """Return what measures a network after an epoch.

    Args:
        validation: the images whose error and loss decide which epoch is best.
        probe: images whose error is watched.
    """

    def judge(network: torch.nn.Module) -> dict[str, float]:
        error, loss = error_and_loss(network, validation)
        return {
            "validation_error": error,
            "validation_loss": loss,
            "probe_error": classification_error(network, probe),
        }

    return judge
