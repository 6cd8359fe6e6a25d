"""From a trial's configuration to its chain of stages: the planner walks what is registered, and asks each stage.

A key has every setting that matters to its stage's numbers, and no other. What cannot matter is left out, so that
trials that differ only there share the stage: momentum without SGD; h beyond the size of the pull kernels; a fraction
beyond the number of filters; a ranking where all or random filters are tuned; the clustering of exemplars where images
are paired. What is only watched while a stage runs, the probe, changes no key either: it travels beside the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.data import DataInfo
from engine.digest import canonical_json
from engine.errors import InputError
from engine.settings import TrialConfig
from engine.stages.budget import NoisyBudget
from engine.stages.catalogue import STAGES, stages_in_order
from engine.stages.limits import check_noisy_images
from engine.stages.numerics import Numerics
from engine.stages.plan_evaluation import check_evaluation
from engine.stages.plan_network import check_network
from engine.stages.planning import Planning
from engine.stages.registration import NETWORK, Stage
from engine.stages.spec import StageSpec


@dataclass(frozen=True)
class TrialPlan:
    """A trial's stages in the order of their dependence.

    Attributes:
        config: the trial.
        stages: what it consists of.
        noisy_budget: the labelled noisy images that it uses; None where it uses none.
    """

    config: TrialConfig
    stages: tuple[StageSpec, ...]
    noisy_budget: NoisyBudget | None = None

    def __iter__(self) -> Iterator[StageSpec]:
        return iter(self.stages)

    def key(self, stage: str) -> str | None:
        """Return the key of a stage, or None if the trial has no such stage."""
        return next((spec.key for spec in self.stages if spec.stage == stage), None)

    @property
    def judged(self) -> StageSpec:
        """Return the stage that has the errors which the trial is judged by."""
        return next(spec for spec in reversed(self.stages) if STAGES[spec.stage].gives_errors)

    @property
    def identity(self) -> str:
        """Return what trials share that come to the same numbers: the keys of the stages that no other one reads."""
        read = {key for spec in self.stages for key in spec.inputs.values()}
        return " ".join(spec.key for spec in self.stages if spec.key not in read)


def plan_trial(
    config: TrialConfig,
    data: DataInfo,
    *,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "fp32",
    strict: bool = False,
    captured: bool = False,
    compiled: bool = False,
    folded: bool = False,
    check: bool = True,
) -> TrialPlan:
    """Return a trial's stages.

    Args:
        config: the trial.
        data: the data set that it runs on.
        device: device type that the stages run on: "cpu" or "cuda".
        threads: CPU threads that they compute with. On CPUs sums are cut into as many parts, so that another number
            gives other last digits and has other keys.
        precision: of networks' passes, "fp32", "tf32" or "bf16".
        strict: whether a GPU repeats all to the bit.
        captured: whether the steps of trainings on a GPU are recorded and replayed.
        compiled: whether the passes of trainings are compiled.
        folded: whether the network is tested with its batch normalisations in its convolutions.
        check: whether the settings are checked. A trial that was planned before, for another device, need not be.

    Raises:
        InputError: settings that cannot work together, or with the network or the data.
    """
    numerics = Numerics(device, threads, precision, strict, captured, compiled, folded)
    planning = Planning.of(config, data)
    if check:
        _check_trial(planning)
    for stage in stages_in_order():
        spec = _asked(stage, planning, numerics, check=check)
        if spec is not None:
            planning.stages[stage.name] = spec
    return TrialPlan(config, tuple(planning.stages.values()), planning.noisy_budget())


def _check_trial(planning: Planning) -> None:
    """Check what belongs to no stage alone: the network, the evaluation, the noisy images.

    Raises:
        InputError: what cannot be.
    """
    check_network(canonical_json(planning.network_settings))
    check_evaluation(planning.config.evaluate, planning.data)
    if planning.is_tuned:
        check_noisy_images(planning.config, planning.data)


def _asked(stage: Stage, planning: Planning, numerics: Numerics, *, check: bool) -> StageSpec | None:
    """Return a stage's spec, or None where the trial does not want it."""
    if STAGES.source_digest(stage.name) is None:
        return _planned(stage, planning, numerics, check=check)
    try:
        spec = _planned(stage, planning, numerics, check=check)
        return spec if spec is None or spec.key else None  # a key is of JSON alone
    except InputError:
        raise
    except Exception as error:  # a user's own raises as it likes
        raise InputError(f"stage {stage.name!r} cannot be planned: {type(error).__name__}: {error}") from error


def _planned(stage: Stage, planning: Planning, numerics: Numerics, *, check: bool) -> StageSpec | None:
    if not stage.wanted(planning):
        return None
    if check:
        stage.check(planning)
    return _spec(stage, planning, numerics)


def _spec(stage: Stage, planning: Planning, numerics: Numerics) -> StageSpec:
    """Return what a stage says of itself for a trial."""
    own_source = STAGES.source_digest(stage.name)
    return StageSpec(
        stage=stage.name,
        version=stage.version,
        settings={**stage.depends_on(planning), **({"stage_source": own_source} if own_source else {})},
        inputs={**stage.given(planning), **_inputs(stage, planning)},
        data=planning.data.key if stage.sees_test_images else planning.data.training_key,
        seed=planning.config.seed if stage.seeded else None,
        numerics=numerics.to_key(tests=stage.gives_errors),
        watch={
            **(planning.probe() if stage.epochs is not None else {}),
            **({"cells": planning.measured_on()} if stage.tells_cells else {}),
        },
        most_epochs=0 if stage.epochs is None else planning.config.flat()[stage.epochs],
    )


def _inputs(stage: Stage, planning: Planning) -> dict[str, str]:
    """Return {stage: key} of what a stage reads of those before it: of the network, all that has made it."""
    before = {name: spec.key for name, spec in planning.stages.items()}
    inputs = {name: before[name] for name in stage.reads if name in before}
    if NETWORK in stage.reads:
        networks = {name: key for name, key in before.items() if STAGES[name].gives_network}
        if not networks:
            raise InputError(
                f"stage {stage.name!r} reads a network, but comes before all stages that give one: "
                "`follows` says which it comes after"
            )
        inputs |= networks
    return inputs
