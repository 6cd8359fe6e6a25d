"""From a trial's configuration to its chain of stages: every setting that matters in a key, and no other.

What cannot matter is left out, so that trials that differ only there share the stage: momentum without SGD; h beyond
the size of the pull kernels; a fraction beyond the number of filters; a ranking where all or random filters are tuned;
the clustering of exemplars where images are paired. What is only watched while a stage runs, the probe, changes no key
either: it travels beside the settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from engine.corruptions import distort
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.data import DataInfo
from engine.digest import canonical_json
from engine.errors import InputError, unknown_name
from engine.ranking import DISTANCES, ELECTIONS, FilterUnit, filter_layers
from engine.ranking.elections import counts_places
from engine.ranking.exemplars import MAX_CLUSTERED
from engine.ranking.maps import place_of_maps
from engine.ranking.medoids import k_medoids_package
from engine.settings import DistortionSettings, TrainingSettings, TrialConfig
from engine.stages.budget import NoisyBudget
from engine.stages.catalogue import STAGES
from engine.stages.limits import check_exemplars, check_images
from engine.stages.plan_evaluation import corruption_sources, plan_evaluation
from engine.stages.plan_filters import chosen_filters, filter_counts, needs_ranking
from engine.stages.plan_network import check_maps, plan_network, units_of
from engine.stages.spec import StageSpec
from engine.training.selective import classifier_name
from engine.training.whole import batch_norms


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


def plan_trial(config: TrialConfig, data: DataInfo, *, device: str = "cpu", threads: int = 1) -> TrialPlan:
    """Return a trial's stages.

    Args:
        config: the trial.
        data: the data set that it runs on.
        device: device type that the stages run on: "cpu" or "cuda".
        threads: CPU threads that they compute with. On CPUs sums are cut into as many parts, so that another number
            gives other last digits and has other keys.

    Raises:
        InputError: settings that cannot work together, or with the network or the data.
    """
    numerics = {"device": device, "threads": threads} if device == "cpu" else {"device": device}
    planner = _Planner(config, data, numerics)
    return TrialPlan(config, tuple(planner.stages()), planner.noisy_budget())


class _Planner:
    """Works out one trial's stages; the network is built without weights to know its layers."""

    def __init__(self, config: TrialConfig, data: DataInfo, numerics: Mapping[str, Any]) -> None:
        self.config = config
        self.data = data
        self.numerics = numerics
        self.network_settings, self.network = plan_network(config, data)
        self.evaluation = plan_evaluation(config.evaluate, data)

    def noisy_budget(self) -> NoisyBudget | None:
        """Return the labelled noisy images that the trial uses.

        Raises:
            InputError: too few to hold out some.
        """
        finetune, n_images = self.config.finetune, self.config.distortion.n_images
        if finetune.which == "none":
            return None
        return NoisyBudget.of(n_images, finetune.select_by, n_validation=self.data.n_validation)

    def stages(self) -> Iterator[StageSpec]:
        evaluation = dict(self.evaluation)
        if self.config.finetune.which != "none":
            evaluation["distortion"] = self._distortion(with_images=False)
        first = self._first()
        yield first
        inputs = {"pretrain": first.key}
        if self.config.finetune.which != "none" and self.config.finetune.method != "retrain":
            finetune = self._finetune_settings()
            finetune_inputs = dict(inputs)
            if needs_ranking(finetune):
                rank = self._spec("rank", self._rank_settings(finetune), inputs)
                yield rank
                finetune_inputs["rank"] = rank.key
            tuned = self._spec("finetune", finetune, finetune_inputs, watch=self._probe())
            yield tuned
            inputs["finetune"] = tuned.key
        yield self._spec("evaluate", evaluation, inputs, seeded=False, watch={"cells": self._measured_on()})

    def _first(self) -> StageSpec:
        """Return the stage that makes the network: trained on clean images, on noisy ones, or from given weights."""
        if self.config.finetune.which != "none" and self.config.finetune.method == "retrain":
            settings = {**self._pretrain_settings(self._n_noisy()), **self._noisy()}
            return self._spec("pretrain", settings, {}, watch=self._probe())
        weights = self.config.model.weights
        if weights is None:
            return self._spec("pretrain", self._pretrain_settings(self.data.n_train), {}, watch=self._probe())
        return self._spec("init", {"network": self.network_settings}, {"weights": weights}, seeded=False)

    def _spec(
        self,
        stage: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        seeded: bool = True,
        watch: Mapping[str, Any] | None = None,
    ) -> StageSpec:
        own_source = STAGES.source_digest(stage)
        return StageSpec(
            stage=stage,
            version=STAGES[stage].version,
            settings={**settings, **({"stage_source": own_source} if own_source else {})},
            inputs=dict(inputs),
            data=self.data.key if stage == "evaluate" else self.data.training_key,
            seed=self.config.seed if seeded else None,
            numerics=self.numerics,
            watch=watch or {},
        )

    def _pretrain_settings(self, n_images: int) -> dict[str, Any]:
        return {"network": self.network_settings, "training": relevant_training(self.config.pretrain, n_images)}

    def _probe(self) -> dict[str, Any]:
        """Return what the epochs of trainings are watched by."""
        n_probe = min(self.config.evaluate.n_probe, self.data.n_validation)
        return {"probe": {**self._measured_on(), "n_probe": n_probe}}

    def _measured_on(self) -> dict[str, Any]:
        """Return the corruptions of validation images that trials are compared by."""
        evaluation = self.evaluation
        return {
            "table": evaluation["table"],
            "corruptions": evaluation["objective"],
            "severities": evaluation["severities"],
            **corruption_sources(evaluation["objective"]),
        }

    def _rank_settings(self, finetune: Mapping[str, Any]) -> dict[str, Any]:
        rank = self.config.rank
        layers = list(finetune["n_filters"])
        settings: dict[str, Any] = {
            "layers": layers,
            "distance": rank.distance,
            "pairing": rank.pairing,
            "distortion": self._distortion(),
        }
        if "count" in finetune:
            settings["across_layers"] = True
        if rank.pairing == "paired":
            _ = ELECTIONS[rank.election]
            by_distance = finetune["which"] == "random"  # as many as are above the threshold: no vote on which
            settings["election"] = "mean_distance" if by_distance else rank.election
            if counts_places(settings["election"]):
                settings["top"] = rank.top
        else:
            rankable = filter_layers(self.network)
            if rank.features not in ("pixels", "maps", *rankable):
                raise unknown_name("features for `rank.features`", rank.features, ["pixels", "maps", *rankable])
            settings["features"] = "maps" if [rank.features] == layers else rank.features
            settings["metric"] = rank.metric
            settings["n_exemplars"] = rank.n_exemplars
            if rank.n_exemplars > 1:
                settings["package"] = k_medoids_package()  # they do not always agree
            check_exemplars(self.config, self.data)
            if rank.n_exemplars > MAX_CLUSTERED:
                raise InputError(f"`rank.n_exemplars` must be at most {MAX_CLUSTERED}, got {rank.n_exemplars}")
        settings = _with_sources(settings, {"distance": DISTANCES, "election": ELECTIONS})
        check_maps(canonical_json(self.network_settings), tuple(layers), rank.distance)
        looked_at = {*layers, settings.get("features")}
        units = [unit for layer, unit in self._units().items() if layer in looked_at]
        settings["at"] = place_of_maps(rank.at, units)
        return settings

    def _finetune_settings(self) -> dict[str, Any]:
        finetune = self.config.finetune
        settings: dict[str, Any] = {
            "method": finetune.method,
            "training": relevant_training(finetune.training, self._n_noisy()),
            **self._noisy(),
        }
        if finetune.method == "classifier" or finetune.train_classifier:
            classifier_name(self.network)  # raises where there is none
        if finetune.method == "classifier":
            return settings
        if finetune.method == "network":
            return {**settings, "batch_norm": finetune.batch_norm if batch_norms(self.network) else "frozen"}
        n_filters = filter_counts(self.network, finetune.layers)
        settings |= {"n_filters": n_filters, **chosen_filters(finetune, n_filters)}
        if finetune.method == "filters":
            batch_norm = finetune.batch_norm
            if batch_norm == "affine" and not self._has_affine_norms(n_filters):
                batch_norm = "frozen"
            settings |= {"batch_norm": batch_norm, "train_classifier": finetune.train_classifier}
        return settings

    def _units(self) -> dict[str, FilterUnit]:
        return units_of(canonical_json(self.network_settings))

    def _has_affine_norms(self, layers: Iterable[str]) -> bool:
        """Return whether a normalisation with parameters of its own belongs to the filters of some layers."""
        units = self._units()
        norms = [units[layer].normalisation for layer in layers if layer in units]
        return any(True for norm in norms if norm for _ in self.network.get_submodule(norm).parameters(recurse=False))

    def _n_noisy(self) -> int:
        """Return how many noisy images are trained on."""
        budget = self.noisy_budget()
        return 0 if budget is None else budget.trained_on

    def _noisy(self) -> dict[str, Any]:
        """Return which labelled noisy images are trained on, and which select the epoch."""
        return {"distortion": self._distortion(), "select_by": self.config.finetune.select_by}

    def _distortion(self, *, with_images: bool = True) -> dict[str, Any]:
        distortion = self.config.distortion
        _check_distortion(distortion, self.data)
        check_images(self.config, self.data)
        settings: dict[str, Any] = {"name": distortion.name, "level": distortion.level}
        if with_images:
            settings["n_images"] = distortion.n_images
        return _with_sources(settings, {"name": DISTORTION_REGISTRY})


def relevant_training(training: TrainingSettings, n_images: int) -> dict[str, Any]:
    """Return the training settings that matter, as JSON.

    Args:
        training: all of them.
        n_images: how many images are trained on: a batch cannot have more.
    """
    stepped = training.schedule == "step" and training.milestones
    settings: dict[str, Any] = {
        "epochs": training.epochs,
        "batch_size": training.batch_size if training.batch_size < n_images - 1 else n_images,
        "optimizer": training.optimizer,
        "learning_rate": training.learning_rate,
        "schedule": "constant" if training.schedule == "step" and not stepped else training.schedule,
        "weight_decay": training.weight_decay,
        "label_smoothing": training.label_smoothing,
        "augmentation": training.augmentation,
    }
    if training.optimizer == "sgd":
        settings["momentum"] = training.momentum
    if stepped:
        settings["milestones"] = sorted(training.milestones)
    if training.patience is not None and training.patience < training.epochs:
        settings["patience"] = training.patience
    return settings


def _check_distortion(distortion: DistortionSettings, data: DataInfo) -> None:
    blank = torch.zeros(1, data.channels, data.image_size, data.image_size, dtype=torch.uint8)
    try:
        distort(blank, distortion.name, distortion.level, seed=0)
    except InputError:
        raise
    except Exception as error:  # a user's own raises as it likes
        raise InputError(
            f"distortion {distortion.name!r} of level {distortion.level:g} fails: {type(error).__name__}: {error}"
        ) from error


def _with_sources(settings: dict[str, Any], registries: Mapping[str, Any]) -> dict[str, Any]:
    """Check that the names are registered, and add the hashes of those that a user's own file defines."""
    for field, registry in registries.items():
        if field in settings:
            registry[settings[field]]
            source = registry.source_digest(settings[field])
            if source:
                settings[f"{field}_source"] = source
    return settings
