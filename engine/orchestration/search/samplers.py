"""Samplers and pruners by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna

from engine.errors import unknown_name

SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    # independent draws of proposal i from (seed, i): see `draw_settings`; the sampler object is never asked
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=10
    ),
}

PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_min_trials=4),
    "percentile": lambda: optuna.pruners.PercentilePruner(25.0, n_startup_trials=4, n_min_trials=4),
}


def make_sampler(name: str, *, seed: int) -> optuna.samplers.BaseSampler:
    """Return a sampler.

    Raises:
        InputError: an unknown name.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's `group` and `multivariate`
        return SAMPLERS[name](seed)


def make_pruner(name: str) -> optuna.pruners.BasePruner:
    """Return a pruner.

    Raises:
        InputError: an unknown name.
    """
    if name not in PRUNERS:
        raise unknown_name("pruner", name, PRUNERS)
    return PRUNERS[name]()
