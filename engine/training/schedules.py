"""Learning rates as pure functions of the step: nothing to restore when training goes on from a checkpoint."""

from __future__ import annotations

import math

from engine.settings import TrainingSettings

_WARM_UP = 0.3
_START_DIVISOR = 25.0
_END_DIVISOR = 2.5e5


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """Return the learning rate at a point of training.

    "one-cycle" rises by a cosine from a 25th of the highest rate to all of it over the first 30 % of the steps, and
    falls by a cosine to a 250,000th (Smith and Topin, Super-Convergence, 2018, in its two-phase form).

    Args:
        settings: schedule, highest rate and milestones.
        progress: share of all planned steps that are done, in [0, 1).
    """
    highest = settings.learning_rate
    if settings.schedule == "constant":
        return highest
    if settings.schedule == "step":
        return highest * 0.1 ** sum(progress >= milestone for milestone in settings.milestones)
    if progress < _WARM_UP:
        return _cosine(highest / _START_DIVISOR, highest, progress / _WARM_UP)
    return _cosine(highest, highest / _END_DIVISOR, (progress - _WARM_UP) / (1 - _WARM_UP))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
