"""A whole trial in this process, stage after stage, without any orchestration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from engine.data import DataSet
from engine.stages.plan import TrialPlan
from engine.stages.runner import find_whole, run_stage
from engine.stages.spec import StageSpec
from engine.store.artifact import Artifact
from engine.store.store import Store


@dataclass(frozen=True)
class StageOutcome:
    """A stage that is done: its spec, its artifact, and whether the store had it already."""

    spec: StageSpec
    artifact: Artifact
    from_store: bool


def run_chain(
    plan: TrialPlan,
    store: Store,
    get_data: Callable[[str], DataSet],
    *,
    device: torch.device,
    on_epoch: Callable[[StageSpec, dict[str, Any]], None] | None = None,
    on_progress: Callable[[StageSpec, int, int], None] = lambda spec, done, total: None,
) -> Iterator[StageOutcome]:
    """Yield a trial's stages as they finish, in order; one that the store has is not computed again.

    Args:
        plan: the trial's stages.
        store: where artifacts are.
        get_data: gives the data set of a data key, on ``device``.
        device: where to compute.
        on_epoch: is told the records of the epochs.
        on_progress: is told how much of how much of a stage is done.
    """
    for spec in plan:
        found = find_whole(store, spec.key)
        if found is not None:
            yield StageOutcome(spec, found, from_store=True)
            continue

        def report(record: dict[str, Any], spec: StageSpec = spec) -> bool:
            if on_epoch is not None and "epoch" in record:
                on_epoch(spec, record)
            return True

        artifact = run_stage(spec, store, get_data, device=device, report=report, progress=partial(on_progress, spec))
        yield StageOutcome(spec, artifact, from_store=False)
