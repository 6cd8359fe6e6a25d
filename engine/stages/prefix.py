"""Longer trainings from shorter ones: 40 epochs go on from a stored 20 where both would have done the same so far.

Two pretrainings belong to one family if they differ only in how long they are: number of epochs, patience, and the
schedule. Of a family, one is a prefix of another if the learning rates of all its steps agree, and the longer one's
patience would not have ended it before. This module needs no torch: the broker uses it to let the shorter one go first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.digest import digest
from engine.settings import TrainingSettings
from engine.stages.spec import StageSpec
from engine.training.schedules import learning_rate

_LENGTH = ("epochs", "patience", "milestones", "schedule", "learning_rate")
_SAMPLES_PER_EPOCH = 16


def family_of(spec: StageSpec) -> str | None:
    """Return what a pretraining has in common with longer and shorter ones (32 hexadecimal digits), or None."""
    if spec.stage != "pretrain" or "training" not in spec.settings:
        return None
    training = {name: value for name, value in spec.settings["training"].items() if name not in _LENGTH}
    return digest({**spec.identity(), "settings": {**spec.settings, "training": training}})[:32]


def is_prefix(shorter: StageSpec, longer: StageSpec) -> bool:
    """Return whether a training is what another one of its family does first, as far as the settings tell."""
    first, whole = training_settings(shorter), training_settings(longer)
    if first.epochs >= whole.epochs or family_of(shorter) is None or family_of(shorter) != family_of(longer):
        return False
    steps = range(first.epochs * _SAMPLES_PER_EPOCH)
    return all(
        learning_rate(first, step / _SAMPLES_PER_EPOCH / first.epochs)
        == learning_rate(whole, step / _SAMPLES_PER_EPOCH / whole.epochs)
        for step in steps
    )


def would_have_stopped(history: Sequence[Mapping[str, Any]], patience: int | None) -> bool:
    """Return whether a patience would have ended a training before the last of its recorded epochs."""
    if patience is None:
        return False
    best: tuple[float, ...] = (float("inf"),)
    best_epoch = 0
    for record in history[:-1]:
        score = (record["validation_error"], record.get("validation_loss", 0.0))
        if score < best:
            best, best_epoch = score, record["epoch"]
        if record["epoch"] - best_epoch >= patience:
            return True
    return False


def training_settings(spec: StageSpec) -> TrainingSettings:
    """Return the training settings of a spec; those that were left out as irrelevant have their defaults."""
    settings = dict(spec.settings["training"])
    if "milestones" in settings:
        settings["milestones"] = tuple(settings["milestones"])
    return TrainingSettings(**settings)
