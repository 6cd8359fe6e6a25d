"""Spaces of the papers at a tiny scale: few images, one epoch, and of arms on more and more images a few."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.orchestration.search import read_results
from engine.report.views import Shown
from engine.spaces import Space, load_space
from engine.store import open_store
from tests.pipelines.swept import sweep_here

TINY = {
    "data.n_train": 60,
    "data.n_validation": 40,
    "data.n_test": 40,
    "pretrain.epochs": 1,
    "evaluate.severities": [1, 5],
    "evaluate.n_probe": 20,
    "finetune.training.epochs": 1,
}
N_IMAGES, EPOCHS = "distortion.n_images", "finetune.training.epochs"


def tiny(name: str, settings: Mapping[str, Any] | None = None) -> Space:
    """Return a paper's space on digits with few images, one epoch, and arms on two numbers of noisy images at most."""
    space = load_space(name, "digits")
    sizes = sorted({arm.settings[N_IMAGES] for arm in space.arms if N_IMAGES in arm.settings})[:2]
    few = {N_IMAGES: {size: 10 + 10 * place for place, size in enumerate(sizes)}, EPOCHS: {}}
    arms = tuple(
        dataclasses.replace(
            arm,
            settings={path: few[path].get(value, 1) if path in few else value for path, value in arm.settings.items()},
        )
        for arm in space.arms
        if N_IMAGES not in arm.settings or arm.settings[N_IMAGES] in sizes
    )
    ours = dataclasses.replace(space, arms=arms, n_seeds=min(2, space.n_seeds))
    return ours.with_base(TINY | {N_IMAGES: 20} | dict(settings or {}))


def shown_tiny(name: str, home: Path, settings: Mapping[str, Any] | None = None) -> Shown:
    """Return what is shown of a tiny space that is run here, without Ray, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        space = tiny(name, settings)
        n_trials = len(space.arms) * space.n_seeds
        sweep_here(space, home=home, study=name, n_trials=n_trials, sampler="random", pruner="none")
    finally:
        torch.set_num_threads(threads)
    return shown_of(home, name, n_trials)


def shown_of(home: Path, study: str, n_trials: int) -> Shown:
    """Return what is shown of a study of a folder, all of whose trials are complete."""
    results = read_results(f"sqlite:///{home / 'optuna.db'}", study)
    assert len(results.with_state("COMPLETE")) == n_trials
    return Shown(results, open_store(home / "store", read_only=True))
