"""At which steps trials of a space are compared while they run: epochs, counted through all stages that tell some."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from engine.relevance import conditions_of
from engine.spaces import Space
from engine.stages.catalogue import stages_in_order


def most_epochs(space: Space) -> dict[str, int]:
    """Return {stage: epochs that it tells at most in a trial of the space}, in the stages' order."""
    return {stage.name: space.greatest(stage.epochs) for stage in stages_in_order() if stage.epochs is not None}


def step_bases(space: Space) -> dict[str, int]:
    """Return {stage: steps before its first epoch}, the same for all trials: epoch e of a stage is its base + e."""
    counts = most_epochs(space)
    return dict(zip(counts, itertools.accumulate(counts.values(), initial=0), strict=False))


def last_steps(space: Space) -> dict[str, int]:
    """Return {stage: step of its last epoch}, of the first stage, and of those that a trial of the space can have."""
    counts, bases = most_epochs(space), step_bases(space)
    first = next(iter(counts), None)
    return {name: bases[name] + count for name, count in counts.items() if name == first or _can_be(space, name)}


def _can_be(space: Space, stage: str) -> bool:
    """Return whether what a stage's epochs depend on can hold, as far as single settings tell."""
    epochs = next(one.epochs for one in stages_in_order() if one.name == stage)
    assert epochs is not None
    flat = space.base.flat()
    return all(
        any(condition.holds({**flat, **given}) for given in _combinations(space, condition.reads))
        for condition in conditions_of(epochs)
    )


def _combinations(space: Space, paths: tuple[str, ...]) -> list[Mapping[str, object]]:
    values = [space.possible(path) for path in paths]
    return [dict(zip(paths, chosen, strict=True)) for chosen in itertools.product(*values)]
