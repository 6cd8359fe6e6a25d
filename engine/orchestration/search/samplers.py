"""Samplers by name: what proposes a search's trials.

Some are asked for each proposal and learn from the trials that ended ("asked"); the others are sequences that depend
on the seed alone ("drawn"). Another one that is asked is one function and ``register_sampler``.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution

from engine.errors import InputError
from engine.orchestration.search.distributions import distribution
from engine.orchestration.search.grid import grid_settings
from engine.registry import Registry
from engine.spaces import Choice, Space


@dataclass(frozen=True)
class SamplerRequest:
    """What a sampler is made for.

    Attributes:
        seed: of its draws, 0 … 2³² − 1; a resumed sweep gives another one.
        n_proposals: how many trials it will propose, at most.
        n_objectives: how many values a trial ends with, each to be made small.
        space: what is explored.
    """

    seed: int
    n_proposals: int
    n_objectives: int
    space: Space

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distribution of each axis, {the study's parameter: distribution}."""
        return {axis.label: distribution(axis) for axis in self.space.axes}


MakeSampler = Callable[[SamplerRequest], optuna.samplers.BaseSampler]


@dataclass(frozen=True)
class SamplerKind:
    """What there is to know about a sampler.

    Attributes:
        description: what it does, in a line.
        source: "asked" for each proposal, or "drawn" by (seed, index) alone.
        make: gives Optuna's sampler; None where nothing of Optuna is asked.
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


SAMPLERS: Registry[SamplerKind] = Registry("sampler")


def register_sampler(
    name: str,
    description: str,
    *,
    packages: tuple[str, ...] = (),
    conditional: bool = False,
    several: bool = True,
    n_asks: int = 20,
    keeps_state: bool = True,
) -> Callable[[MakeSampler], MakeSampler]:
    """Return a decorator that makes an Optuna sampler usable as ``--sampler name``.

    The function gets a ``SamplerRequest`` and returns an ``optuna.samplers.BaseSampler``. That works in a study in
    memory that has the search's proposals and no arm: live ones, complete ones with their objectives, pruned ones with
    their intermediate values. It is made once a driver; a resumed sweep makes it anew, with what the trials were.

    Args:
        name: the sampler's name.
        description: what it does, in a line, for ``--list``.
        packages: modules that must be installed.
        conditional: whether it may be asked for just the axes that apply; else it is asked for all of them each time.
        several: whether it can search over several objectives.
        n_asks: how often it is asked before a proposal that repeats an earlier trial is replaced by a random one.
        keeps_state: whether the system attributes that it gives a trial which it proposes are kept in the study, for a
            resumed sweep.

    Raises:
        InputError: another sampler has the name.
    """

    def add(make: MakeSampler) -> MakeSampler:
        kind = SamplerKind(
            description,
            make=make,
            packages=packages,
            conditional=conditional,
            several=several,
            n_asks=n_asks,
            keeps_state=keeps_state,
        )
        SAMPLERS.register(name, made_by=make)(kind)
        return make

    return add


def population_size(n_proposals: int) -> int:
    """Return the size of a generation that leaves about five of them, within what makes sense for crossover."""
    return max(6, min(50, n_proposals // 5))


@register_sampler(
    "tpe",
    "tree-structured Parzen estimators over groups of axes: the default for one objective",
    conditional=True,
    keeps_state=False,
)
def _tpe(given: SamplerRequest) -> optuna.samplers.BaseSampler:
    n_startup_trials = min(10, max(4, given.n_proposals // 2))
    return optuna.samplers.TPESampler(
        seed=given.seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=n_startup_trials
    )


SAMPLERS.register("random")(
    SamplerKind("independent draws: draw i depends on the seed and i alone", source="drawn"),
)


@register_sampler(
    "cma-es",
    "evolution strategy with a learned covariance over the numeric axes; axes with choices are drawn at random",
    packages=("cmaes", "scipy"),
    several=False,
)
def _cma_es(given: SamplerRequest) -> optuna.samplers.BaseSampler:
    return optuna.samplers.CmaEsSampler(
        seed=given.seed, with_margin=True, n_startup_trials=4, warn_independent_sampling=False
    )


@register_sampler(
    "gp",
    "Gaussian process after 10 complete trials; takes seconds a proposal; pruned trials teach it nothing",
    packages=("torch", "scipy"),
    n_asks=4,
    keeps_state=False,
)
def _gp(given: SamplerRequest) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=given.seed, n_startup_trials=10, warn_independent_sampling=False)


SAMPLERS.register("qmc")(
    SamplerKind("scrambled Sobol sequence: spread evenly, and fixed by the seed", source="drawn", packages=("scipy",))
)


@register_sampler(
    "nsga-ii", "genetic algorithm, a fifth of the proposals a generation: the default for several objectives"
)
def _nsga_ii(given: SamplerRequest) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=given.seed, population_size=population_size(given.n_proposals))


SAMPLERS.register("grid")(
    SamplerKind("every combination of the axes' values, in an order fixed by the seed", source="drawn")
)


def check_sampler(name: str) -> SamplerKind:
    """Return what is known of a sampler that can be used.

    Raises:
        InputError: an unknown name, or a package that it needs and that is not installed.
    """
    kind = SAMPLERS[name]
    for package in kind.packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"sampler {name!r} needs the package {package!r}, which is missing: pip install {package}")
    return kind


def check_search(name: str, space: Space, *, n_objectives: int = 1) -> None:
    """Check that a sampler, which can be used (``check_sampler``), can explore a space.

    Raises:
        InputError: it cannot, and why.
    """
    kind = SAMPLERS[name]
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
    kind, notes = SAMPLERS[name], []
    choices = sum(isinstance(axis, Choice) for axis in space.axes)
    if name == "cma-es":
        notes.append(
            f"cma-es searches the {len(space.axes) - choices} numeric axes; the {choices} with choices are drawn at "
            "random, and pruned trials teach it nothing"
        )
    if name not in ("random", "grid") and not kind.conditional and any(axis.when for axis in space.axes):
        notes.append(f"{name} gives every axis a value in each proposal; one that does not apply has no effect")
    return notes


def make_sampler(name: str, given: SamplerRequest) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler of a kind that is asked.

    Raises:
        InputError: an unknown name, or a user's function that gives no sampler.
        ValueError: a kind that is drawn.
    """
    make = SAMPLERS[name].make
    if make is None:
        raise ValueError(f"sampler {name!r} is drawn, it has no Optuna sampler to ask")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's `group`, CMA-ES's margin
        sampler = make(given)
    if not isinstance(sampler, optuna.samplers.BaseSampler):
        raise InputError(f"sampler {name!r} must be an optuna.samplers.BaseSampler, got {sampler!r}")
    return sampler
