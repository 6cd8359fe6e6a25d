"""Samplers by name: what proposes a search's trials.

Some are asked for each proposal and learn from the trials that ended ("asked"); the others are sequences that depend
on the seed alone ("drawn").
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import optuna

from engine.errors import InputError, unknown_name
from engine.orchestration.search.grid import grid_settings
from engine.spaces import Choice, Space

MakeSampler = Callable[[int, int], optuna.samplers.BaseSampler]


@dataclass(frozen=True)
class SamplerKind:
    """What there is to know about a sampler.

    Attributes:
        description: what it does, in a line.
        source: "asked" for each proposal, or "drawn" by (seed, index) alone.
        make: gives Optuna's sampler for (seed, number of proposals); None where nothing of Optuna is asked.
        packages: what must be installed.
        conditional: whether it can be asked for just the axes that apply. Another one is asked for all axes every
            time, and the values of those that do not apply are dropped.
        several: whether it can search over several objectives.
        n_asks: how often it is asked before a proposal that repeats an earlier trial is replaced by a random one.
        keeps_state: whether what it notes on a trial is needed when a sweep is resumed.
    """

    description: str
    source: Literal["asked", "drawn"] = "asked"
    make: MakeSampler | None = None
    packages: tuple[str, ...] = ()
    conditional: bool = False
    several: bool = True
    n_asks: int = 20
    keeps_state: bool = False


def population_size(n_proposals: int) -> int:
    """Return the size of a generation that leaves about five of them, within what makes sense for crossover."""
    return max(6, min(50, n_proposals // 5))


SAMPLERS: dict[str, SamplerKind] = {
    "tpe": SamplerKind(
        "tree-structured Parzen estimators over groups of axes: the default for one objective",
        make=lambda seed, n: optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=min(10, max(4, n // 2))
        ),
        conditional=True,
    ),
    "random": SamplerKind("independent draws: draw i depends on the seed and i alone", source="drawn"),
    "cma-es": SamplerKind(
        "evolution strategy with a learned covariance over the numeric axes; axes with choices are drawn at random",
        make=lambda seed, n: optuna.samplers.CmaEsSampler(
            seed=seed, with_margin=True, n_startup_trials=4, warn_independent_sampling=False
        ),
        packages=("cmaes", "scipy"),
        several=False,
        keeps_state=True,
    ),
    "gp": SamplerKind(
        "Gaussian process after 10 complete trials; takes seconds a proposal; pruned trials teach it nothing",
        make=lambda seed, n: optuna.samplers.GPSampler(seed=seed, n_startup_trials=10, warn_independent_sampling=False),
        packages=("torch", "scipy"),
        n_asks=4,
    ),
    "qmc": SamplerKind("scrambled Sobol sequence: spread evenly, and fixed by the seed", "drawn", packages=("scipy",)),
    "nsga-ii": SamplerKind(
        "genetic algorithm, a fifth of the proposals a generation: the default for several objectives",
        make=lambda seed, n: optuna.samplers.NSGAIISampler(seed=seed, population_size=population_size(n)),
        keeps_state=True,
    ),
    "grid": SamplerKind("every combination of the axes' values, in an order fixed by the seed", source="drawn"),
}


def check_sampler(name: str) -> SamplerKind:
    """Return what is known of a sampler that can be used.

    Raises:
        InputError: an unknown name, or a package that it needs and that is not installed.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    for package in SAMPLERS[name].packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"sampler {name!r} needs the package {package!r}, which is missing: pip install {package}")
    return SAMPLERS[name]


def check_search(name: str, space: Space, *, n_objectives: int = 1) -> None:
    """Check that a sampler can explore a space.

    Raises:
        InputError: it cannot, and why.
    """
    kind = check_sampler(name)
    if n_objectives > 1 and not kind.several:
        able = ", ".join(other for other, it in SAMPLERS.items() if it.several)
        raise InputError(f"sampler {name!r} cannot search over several objectives; these can: {able}")
    if name == "cma-es" and space.axes and all(isinstance(axis, Choice) for axis in space.axes):
        raise InputError(
            f"sampler 'cma-es' needs numeric axes, and those of space {space.name!r} are all choices: choose another"
        )
    if name == "grid":
        grid_settings(space)


def search_notes(name: str, space: Space) -> list[str]:
    """Return what a person should know about how a sampler treats the space's axes."""
    kind, notes = check_sampler(name), []
    choices = sum(isinstance(axis, Choice) for axis in space.axes)
    if name == "cma-es":
        notes.append(
            f"cma-es searches the {len(space.axes) - choices} numeric axes; the {choices} with choices are drawn at "
            "random, and pruned trials teach it nothing"
        )
    if name not in ("random", "grid") and not kind.conditional and any(axis.when for axis in space.axes):
        notes.append(f"{name} gives every axis a value in each proposal; one that does not apply has no effect")
    return notes


def make_sampler(name: str, *, seed: int, n_proposals: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler of a kind that is asked.

    Raises:
        InputError: an unknown name, or a missing package.
        ValueError: a kind that is drawn.
    """
    make = check_sampler(name).make
    if make is None:
        raise ValueError(f"sampler {name!r} is drawn, it has no Optuna sampler to ask")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's `group`, CMA-ES's margin
        return make(seed, n_proposals)
