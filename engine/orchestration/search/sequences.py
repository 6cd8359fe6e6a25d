"""Proposals that depend on (seed, index) alone: the same proposals in the same order, whatever the timing.

A draw that repeats an earlier one is drawn again; what is drawn then depends on the draws before it, which are fixed by
the seed too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from engine.orchestration.search.grid import grid_settings
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.repeats import Identities
from engine.seeds import derive_seed
from engine.spaces import Axis, Choice, Int, Space, draw_settings
from engine.spaces.axes import nearest_value

MAX_DRAWS = 50
"""How often a proposal is drawn before the space counts as exhausted and the first draw is taken, a repeat."""

Settings = dict[str, Any]


class ProposalSequence:
    """A sequence of proposals.

    Args:
        candidate: gives the settings of (index, attempt).
        identity: of settings.
        max_draws: attempts for each index; 1 accepts every repeat.
    """

    def __init__(
        self,
        candidate: Callable[[int, int], Settings],
        *,
        identity: Callable[[Settings], str],
        max_draws: int = MAX_DRAWS,
    ) -> None:
        self._candidate = candidate
        self._identity = identity
        self._taken: set[str] = set()
        self._max_draws = max_draws
        self._drawn: list[Settings] = []

    def __getitem__(self, index: int) -> Settings:
        while len(self._drawn) <= index:
            self._drawn.append(self._next())
        return self._drawn[index]

    def _next(self) -> Settings:
        first: Settings | None = None
        for attempt in range(self._max_draws):
            settings = self._candidate(len(self._drawn), attempt)
            first = settings if first is None else first
            identity = self._identity(settings)
            if identity not in self._taken:
                self._taken.add(identity)
                return settings
        assert first is not None
        return first


def make_sequence(name: str, planned: PlannedTrials, identities: Identities) -> ProposalSequence:
    """Return the proposals of a sampler that is drawn: "random", "qmc" or "grid"."""
    space, seed = planned.space, planned.study_seed
    trial_seed = space.search_seed(seed)

    def identity(settings: Settings) -> str:
        return identities(settings, trial_seed)

    if name == "grid":
        points = shuffled_grid(space, seed=seed)
        return ProposalSequence(lambda index, attempt: points[index], identity=identity, max_draws=1)
    if name == "qmc":
        sequence = sobol_settings(space, seed=seed)
        return ProposalSequence(lambda index, attempt: next(sequence), identity=identity)
    return ProposalSequence(lambda index, attempt: draw_again(space, seed, index, attempt), identity=identity)


def draw_again(space: Space, seed: int, index: int, attempt: int) -> Settings:
    """Return random draw ``index``, or another one in its place."""
    return draw_settings(space, seed=derive_seed(seed, "draw again", attempt) if attempt else seed, index=index)


def shuffled_grid(space: Space, *, seed: int) -> list[Settings]:
    """Return the grid in an order fixed by the seed: any number of its first points is a random subset.

    Raises:
        InputError: the space has no grid.
    """
    points = grid_settings(space)
    random.Random(derive_seed(seed, "grid")).shuffle(points)
    return points


def sobol_settings(space: Space, *, seed: int) -> Iterator[Settings]:
    """Yield the settings of a scrambled Sobol sequence's points; all axes are its dimensions, also those that do not
    apply.
    """
    from scipy.stats.qmc import Sobol  # here: slow to import, and only this sampler needs it

    points = Sobol(len(space.axes), scramble=True, seed=derive_seed(seed, "qmc") % 2**32)
    while True:
        (shares,) = points.random(1)
        values = {
            axis.label: value_at_share(axis, float(share)) for axis, share in zip(space.axes, shares, strict=True)
        }
        # mypy infers no type for a lambda with a default, which keeps this round's values
        yield space.settings_from(lambda axis, values=values: values[axis.label])  # type: ignore[misc]


def value_at_share(axis: Axis, share: float) -> Any:
    """Return the value of an axis that lies at a share of its range, so that even shares give even values.

    Args:
        axis: the axis; each of its values, if it has a number of them, covers as much of the range.
        share: in [0, 1).
    """
    if isinstance(axis, Choice):
        return axis.values[int(share * len(axis.values))]
    half = 0.5 * (axis.step or 0)
    if not axis.log:
        low, high = axis.low - half, axis.high + half
        return nearest_value(axis, low + share * (high - low))
    low, high = math.log(axis.low - half), math.log(axis.high + half)
    value = math.exp(low + share * (high - low))
    return min(max(round(value), axis.low), axis.high) if isinstance(axis, Int) else nearest_value(axis, value)
