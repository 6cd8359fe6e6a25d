"""Corrupted images that depend on the data and a seed alone: made once on a machine, or once in a process on a GPU, for
all stages that meet them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.corruptions import severity_constants
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.data import Split
from engine.data.device_sets import device_sets
from engine.data.machine_sets import machine_sets
from engine.digest import digest
from engine.metrics import corrupted_split
from engine.sources import digest_of_package
from engine.stages.noisy import distorted
from engine.stages.plan_evaluation import corruption_sources, table_source


def corrupted_set(split: Split, cell: tuple[str, int], *, seed: int, table: str) -> Split:
    """Return what ``corrupted_split`` does."""
    what = ["corrupted", *cell, seed, *what_corrupts([cell], table)]
    return made_once(split, what, lambda: corrupted_split(split, cell, seed=seed, table=table))


def distorted_set(split: Split, distortion: Mapping[str, Any], *, seed: int) -> Split:
    """Return what ``distorted`` does."""
    name, level = distortion["name"], float(distortion["level"])
    what = ["distorted", name, repr(level), seed, DISTORTION_REGISTRY.source_digest(name)]
    return made_once(split, what, lambda: distorted(split, distortion, seed=seed))


def what_corrupts(cells: list[tuple[str, int]], table: str) -> list[Any]:
    """Return what decides, beside its name and the engine's code, what a corruption does to an image, as JSON."""
    names = [name for name, _ in cells]
    constants = [repr(severity_constants(name, severity, table)) for name, severity in cells]
    return [table, table_source(table), corruption_sources(names), constants]


def made_once(split: Split, what: list[Any], make: Callable[[], Split]) -> Split:
    """Return a split with changed images, which are kept for who asks next; without them they are made.

    Args:
        split: the images that are changed; of streamed ones, and of those that nobody can name, nothing is kept.
        what: all that decides what becomes of them, beside what they are, and the engine's code: JSON.
        make: changes them; to as many images of the same shape.
    """
    images = split.images
    if split.origin is None or not isinstance(images, Tensor):
        return make()
    sets = machine_sets() if images.device.type == "cpu" else device_sets(images.device)
    if sets is None:
        return make()
    key = digest([split.origin, what, torch.get_num_threads(), *_made_with()])[:32]

    def made() -> Tensor:
        changed = make().images
        assert isinstance(changed, Tensor)
        return changed

    return Split(sets.made(key, images.shape, made), split.labels, split.indices)


@cache
def _made_with() -> tuple[str, ...]:
    """Return what else could give other bytes: the engine's code, the libraries, the processor's kind."""
    return digest_of_package("engine"), torch.__version__, np.__version__, torch.backends.cpu.get_cpu_capability()
