"""What a stage's declaration is asked with: a trial's configuration, its data, its network, and the stages so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from engine.conversion import flatten
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.data import DataInfo
from engine.digest import canonical_json
from engine.ranking import FilterUnit
from engine.settings import UNLABELLED, PerturbationSettings, TrainingSettings, TrialConfig
from engine.stages.budget import NoisyBudget
from engine.stages.plan_evaluation import corruption_sources, plan_evaluation, table_source
from engine.stages.plan_network import plan_network, units_of
from engine.stages.spec import StageSpec


@dataclass(frozen=True)
class Planning:
    """One trial while it is planned.

    Attributes:
        config: the trial.
        data: what is known of its data set.
        network_settings: what builds its network, reduced to what matters.
        network: the network without weights, to know its layers.
        stages: the specs of the stages that were planned already, by name, in order.
    """

    config: TrialConfig
    data: DataInfo
    network_settings: Mapping[str, Any]
    network: nn.Module
    stages: dict[str, StageSpec] = field(default_factory=dict)
    _known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, config: TrialConfig, data: DataInfo) -> Planning:
        """Return a trial of which no stage is planned yet.

        Raises:
            InputError: a network that cannot be built.
        """
        network_settings, network = plan_network(config, data)
        return cls(config, data, network_settings, network)

    @property
    def evaluation(self) -> dict[str, Any]:
        """Return what it is tested on and compared by: "table", "corruptions", "objective", "severities", …."""
        return self.once("evaluation", lambda: plan_evaluation(self.config.evaluate, self.data))

    @property
    def is_tuned(self) -> bool:
        """Return whether something is trained on noisy images."""
        return self.config.finetune.which != "none"

    @property
    def is_retrained(self) -> bool:
        """Return whether that is a network from random weights."""
        return self.is_tuned and self.config.finetune.method == "retrain"

    @property
    def reads_labels(self) -> bool:
        """Return whether what is tuned on noisy images is by their labels."""
        return self.config.finetune.method not in UNLABELLED

    def once(self, name: str, work_out: Callable[[], Any]) -> Any:
        """Return what a function comes to, asked once a trial: several stages look at it."""
        if name not in self._known:
            self._known[name] = work_out()
        return self._known[name]

    def section(self, name: str) -> dict[str, Any]:
        """Return a section's settings as JSON, those of a training in it reduced to what matters."""
        section = self.config.section(name)
        values = {item.name: getattr(section, item.name) for item in dataclasses.fields(section)}
        trainings = {key: value for key, value in values.items() if isinstance(value, TrainingSettings)}
        plain = flatten({key: value for key, value in dataclasses.asdict(section).items() if key not in trainings})
        return plain | {key: relevant_training(value) for key, value in trainings.items()}

    def noisy_budget(self) -> NoisyBudget | None:
        """Return the labelled noisy images that the trial uses; None where it uses none."""
        if not self.is_tuned:
            return None
        n_images, select_by = self.config.distortion.n_images, self.config.finetune.select_by
        if not self.reads_labels:
            return NoisyBudget.without_labels(n_images)
        return NoisyBudget.of(n_images, select_by, n_validation=self.data.n_validation)

    def n_noisy(self) -> int:
        """Return how many noisy images are trained on."""
        budget = self.noisy_budget()
        return 0 if budget is None else budget.trained_on or budget.unlabelled

    def noisy(self) -> dict[str, Any]:
        """Return which noisy images are trained on, and which labelled ones select the epoch."""
        select_by = {"select_by": self.config.finetune.select_by} if self.reads_labels else {}
        return {"distortion": self.distortion(), **select_by}

    def distortion(self, *, with_images: bool = True) -> dict[str, Any]:
        """Return what noisy images suffer, and how many there are."""
        distortion = self.config.distortion
        settings = with_sources({"name": distortion.name, "level": distortion.level}, {"name": DISTORTION_REGISTRY})
        return settings | ({"n_images": distortion.n_images} if with_images else {})

    def probe(self) -> dict[str, Any]:
        """Return what the epochs of trainings are watched by."""
        n_probe = min(self.config.evaluate.n_probe, self.data.n_validation)
        return {"probe": {**self.measured_on(), "n_probe": n_probe}}

    def measured_on(self) -> dict[str, Any]:
        """Return the corruptions of validation images that trials are compared by."""
        evaluation = self.evaluation
        return {
            "table": evaluation["table"],
            "corruptions": evaluation["objective"],
            "severities": evaluation["severities"],
            **table_source(evaluation["table"]),
            **corruption_sources(evaluation["objective"]),
        }

    def units(self) -> dict[str, FilterUnit]:
        """Return what belongs to the filters of the network's rankable layers, by layer."""
        return units_of(canonical_json(self.network_settings))

    def has_affine_norms(self, layers: Iterable[str]) -> bool:
        """Return whether a normalisation with parameters of its own belongs to the filters of some layers."""
        units = self.units()
        norms = [units[layer].normalisation for layer in layers if layer in units]
        return any(True for norm in norms if norm for _ in self.network.get_submodule(norm).parameters(recurse=False))


def relevant_training(training: TrainingSettings, n_images: int | None = None) -> dict[str, Any]:
    """Return the training settings that matter, as JSON.

    Args:
        training: all of them.
        n_images: how many images are trained on: a batch cannot have more. None where that is not known.
    """
    stepped = training.schedule == "step" and training.milestones
    settings: dict[str, Any] = {
        "epochs": training.epochs,
        "batch_size": training.batch_size if n_images is None or training.batch_size < n_images - 1 else n_images,
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
    if training.max_gradient_norm is not None:
        settings["max_gradient_norm"] = training.max_gradient_norm
    if training.patience is not None and training.patience < training.epochs:
        settings["patience"] = training.patience
    return settings


def relevant_perturbation(perturbation: PerturbationSettings) -> dict[str, Any]:
    """Return {"perturbation": its settings that matter}, as JSON, or nothing where images are left as they are."""
    used = {
        "none": (),
        "noise": ("sigmas", "share"),
        "augmix": ("severity", "consistency"),
        "prime": ("strengths", "consistency"),
    }[perturbation.kind]
    found = {name: getattr(perturbation, name) for name in used}
    if "sigmas" in found:
        found["sigmas"] = list(found["sigmas"])
    return {"perturbation": {"kind": perturbation.kind, **found}} if used else {}


def with_sources(settings: dict[str, Any], registries: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the hashes of what they name that a user's own file defines.

    Args:
        settings: {setting: value}.
        registries: {setting: where its value is registered}; of a setting that there is not, nothing is asked.
    """
    settings = dict(settings)
    for name, registry in registries.items():
        if name in settings:
            source = registry.source_digest(settings[name])
            if source:
                settings[f"{name}_source"] = source
    return settings
