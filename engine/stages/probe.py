"""The probe: a small corrupted validation set by which the epochs of trainings are watched.

Trials are pruned on it; it decides nothing about a training itself, neither its weights nor its best epoch. So its
settings are no part of a stage's key, and an epoch's record says whose probe it was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.corruptions import corrupt
from engine.data import DataSet, Split
from engine.digest import digest
from engine.metrics import classification_error
from engine.metrics.classification import error_and_loss
from engine.result_names import PROBE_ERROR, TUNED_ERROR, VALIDATION_ERROR, VALIDATION_LOSS
from engine.stages.corrupted_sets import distorted_set, made_once, what_corrupts
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
    validation = _spread(data.validation, settings["n_probe"])
    cells = [(name, severity) for name in settings["corruptions"] for severity in settings["severities"]]
    seed = corruption_seed(VALIDATION)

    def change(clean: Tensor, positions: Tensor) -> Tensor:
        images = clean.clone()
        for number, (name, severity) in enumerate(cells):
            chosen = (positions % len(cells) == number).nonzero().flatten()
            if len(chosen):
                images[chosen] = corrupt(
                    clean[chosen],
                    name,
                    severity,
                    seed=seed,
                    indices=validation.indices[positions[chosen]],
                    table=settings["table"],
                )
        return images

    positions = torch.arange(len(validation), device=validation.labels.device)
    clean = Split(validation.images, validation.labels, positions)
    what = ["probe", cells, seed, *what_corrupts(cells, settings["table"])]
    probe = made_once(replace(clean, origin=validation.origin), what, lambda: clean.changed(change).kept())
    return replace(probe, indices=validation.indices)


def _spread(split: Split, n: int) -> Split:
    """Return ``n`` images at most, evenly spread over a split."""
    if len(split) <= n:
        return split
    origin = None if split.origin is None else digest(["spread", split.origin, n])
    return replace(split.take(torch.arange(n) * len(split) // n), origin=origin)


def watched_splits(
    data: DataSet, watch: Mapping[str, Any], *, distortion: Mapping[str, Any] | None = None, seed: int
) -> dict[str, Split]:
    """Return the images on which the epochs of a training are watched, by the name of their error in records.

    Args:
        data: whose validation images are taken.
        watch: what the stage's spec says of it: "probe", see ``make_probe``.
        distortion: that of the noisy images trained on, if there are any: then as many validation images so distorted
            are watched too.
        seed: the trial's.
    """
    probe = {PROBE_ERROR: make_probe(data, watch["probe"])}
    if distortion is None:
        return probe
    tuned = distorted_set(_spread(data.validation, watch["probe"]["n_probe"]), distortion, seed=seed)
    return {**probe, TUNED_ERROR: tuned.kept()}


def make_judge(selecting: Split, watched: Mapping[str, Split]) -> Judge:
    """Return what measures a network after an epoch.

    Args:
        selecting: the images whose error and loss decide which epoch is best ("validation_error", "validation_loss").
        watched: {name: images whose error is only watched}.
    """

    def judge(network: torch.nn.Module) -> dict[str, float]:
        error, loss = error_and_loss(network, selecting)
        errors = {name: classification_error(network, split) for name, split in watched.items()}
        return {VALIDATION_ERROR: error, VALIDATION_LOSS: loss, **errors}

    return judge
