"""From a trial's configuration to its chain of stages: every setting that matters in a key, and no other.

What cannot matter is left out, so that trials that differ only there share the stage: momentum without SGD; h beyond
the size of the pull kernels; a fraction beyond the number of filters; a ranking where all or random filters are tuned;
the clustering of exemplars where images are paired.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
from torch import nn

from engine.corruptions import corrupt, distort, frost_source, table_corruptions
from engine.corruptions.apply import CORRUPTION_REGISTRY
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.data import DataInfo
from engine.digest import canonical_json
from engine.errors import InputError, unknown_name
from engine.layers import PushPull2d
from engine.models import model_source_digest
from engine.models.build import places
from engine.ranking import DISTANCES, ELECTIONS, filter_layers, n_selected
from engine.registry import source_digest
from engine.settings import DistortionSettings, TrainingSettings, TrialConfig
from engine.stages.catalogue import STAGES
from engine.stages.network import build_network, build_on_meta
from engine.stages.spec import StageSpec
from engine.training.loop import is_strength

OBJECTIVES = {
    "digits": ("gaussian_noise", "shot_noise"),
    "cifar-c": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""By severity table, the corruptions that choices are made by. CIFAR-C's four are those that the benchmark's authors
set aside for validation; digits have no colour and little texture, and are compared under noise."""

REPORTED = {"digits": ("gaussian_noise", "shot_noise", "gaussian_blur", "contrast")}
"""By severity table, the corruptions that a trial is tested on unless it names others; else all of it."""


@dataclass(frozen=True)
class TrialPlan:
    """A trial's stages in the order of their dependence."""

    config: TrialConfig
    stages: tuple[StageSpec, ...]

    def __iter__(self) -> Iterator[StageSpec]:
        return iter(self.stages)

    def key(self, stage: str) -> str | None:
        """Return the key of a stage, or None if the trial has no such stage."""
        return next((spec.key for spec in self.stages if spec.stage == stage), None)


def plan_trial(config: TrialConfig, data: DataInfo, *, device: str = "cpu", amp: bool = False) -> TrialPlan:
    """Return a trial's stages.

    Args:
        config: the trial.
        data: the data set that it runs on.
        device: device type that the stages run on: "cpu" or "cuda".
        amp: whether training runs in bfloat16 where that is safe.

    Raises:
        InputError: settings that cannot work together, or with the network or the data.
    """
    planner = _Planner(config, data, {"device": device, "amp": amp})
    return TrialPlan(config, tuple(planner.stages()))


class _Planner:
    """Works out one trial's stages; the network is built without weights to know its layers."""

    def __init__(self, config: TrialConfig, data: DataInfo, numerics: Mapping[str, Any]) -> None:
        self.config = config
        self.data = data
        self.numerics = numerics
        self.network_settings, self.network = _plan_network(config, data)
        self.evaluation = _plan_evaluation(config, data)

    def stages(self) -> Iterator[StageSpec]:
        weights = self.config.model.weights
        if weights is None:
            first = self._spec("pretrain", self._pretrain_settings(), {})
        else:
            first = self._spec("init", {"network": self.network_settings}, {"weights": weights}, seeded=False)
        yield first
        inputs = {"pretrain": first.key}
        evaluation = {name: value for name, value in self.evaluation.items() if name != "n_probe"}
        if self.config.finetune.which != "none":
            finetune = self._finetune_settings()
            finetune_inputs = dict(inputs)
            if finetune["which"] in ("most", "least"):
                rank = self._spec("rank", self._rank_settings(list(finetune["layers"])), inputs)
                yield rank
                finetune_inputs["rank"] = rank.key
            tuned = self._spec("finetune", finetune, finetune_inputs)
            yield tuned
            inputs["finetune"] = tuned.key
            evaluation["distortion"] = self._distortion(with_images=False)
        yield self._spec("evaluate", evaluation, inputs, seeded=False)

    def _spec(
        self, stage: str, settings: Mapping[str, Any], inputs: Mapping[str, str], *, seeded: bool = True
    ) -> StageSpec:
        own_source = source_digest(STAGES[stage].run)
        return StageSpec(
            stage=stage,
            version=STAGES[stage].version,
            settings={**settings, **({"stage_source": own_source} if own_source else {})},
            inputs=dict(inputs),
            data=self.data.key if stage == "evaluate" else self.data.training_key,
            seed=self.config.seed if seeded else None,
            numerics=self.numerics,
        )

    def _pretrain_settings(self) -> dict[str, Any]:
        return {
            "network": self.network_settings,
            "training": relevant_training(self.config.pretrain),
            "probe": self._probe(),
            **_undecayed(self.config.pretrain, dict(self.network.named_parameters())),
        }

    def _probe(self) -> dict[str, Any]:
        evaluation, n_probe = self.evaluation, min(self.config.evaluate.n_probe, self.data.n_validation)
        return {
            "table": evaluation["table"],
            "corruptions": evaluation["objective"],
            "severities": evaluation["severities"],
            "n_probe": n_probe,
            **({"taken": "evenly"} if n_probe < self.data.n_validation else {}),
            **_corruption_sources(evaluation["objective"]),
        }

    def _rank_settings(self, layers: list[str]) -> dict[str, Any]:
        rank = self.config.rank
        settings: dict[str, Any] = {
            "layers": layers,
            "distance": rank.distance,
            "at": rank.at,
            "pairing": rank.pairing,
            "distortion": self._distortion(),
        }
        if rank.pairing == "paired":
            settings["election"] = rank.election
            settings["top"] = rank.top
        else:
            settings["features"] = rank.features
            settings["metric"] = rank.metric
            settings["n_exemplars"] = rank.n_exemplars
            n_clean = min(self.config.distortion.n_images, self.data.n_train - self.config.distortion.n_images)
            if n_clean < rank.n_exemplars:
                raise InputError(
                    f"unpaired ranking needs at least {rank.n_exemplars} clean images that no noisy one comes from; "
                    f"of {self.data.n_train} training images {self.config.distortion.n_images} are noisy"
                )
        return _with_sources(settings, {"distance": DISTANCES, "election": ELECTIONS})

    def _finetune_settings(self) -> dict[str, Any]:
        finetune = self.config.finetune
        n_filters = {name: _n_filters(layer) for name, layer in _wanted_layers(self.network, finetune.layers).items()}
        counts = {
            name: n_selected(n, fraction=finetune.fraction, count=finetune.count) for name, n in n_filters.items()
        }
        which = "all" if finetune.which == "all" or counts == n_filters else finetune.which
        settings = {
            "which": which,
            "layers": n_filters if which == "all" else counts,
            "batch_norm": finetune.batch_norm,
            "train_classifier": finetune.train_classifier,
            "training": relevant_training(finetune.training),
            "distortion": self._distortion(),
            "probe": self._probe(),
            **_undecayed(finetune.training, self._tuned_parameters(n_filters)),
        }
        if which == "random":
            settings["n_filters"] = n_filters
        return settings

    def _tuned_parameters(self, layers: Iterable[str]) -> dict[str, nn.Parameter]:
        """Return what filters of some layers own, by name; a strength that a layer shares belongs to no filter."""
        owned = (
            (f"{layer}.{name}", parameter)
            for layer in layers
            for name, parameter in self.network.get_submodule(layer).named_parameters()
        )
        return {name: parameter for name, parameter in owned if parameter.ndim}

    def _distortion(self, *, with_images: bool = True) -> dict[str, Any]:
        distortion = self.config.distortion
        _check_distortion(distortion, self.data)
        settings: dict[str, Any] = {"name": distortion.name, "level": distortion.level}
        if with_images:
            settings["n_images"] = distortion.n_images
        return _with_sources(settings, {"name": DISTORTION_REGISTRY})


def relevant_training(training: TrainingSettings) -> dict[str, Any]:
    """Return the training settings that matter, as JSON."""
    settings: dict[str, Any] = {
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "optimizer": training.optimizer,
        "learning_rate": training.learning_rate,
        "schedule": training.schedule,
        "weight_decay": training.weight_decay,
        "label_smoothing": training.label_smoothing,
        "augmentation": training.augmentation,
    }
    if training.optimizer == "sgd":
        settings["momentum"] = training.momentum
    if training.schedule == "step":
        settings["milestones"] = list(training.milestones)
    if training.patience is not None and training.patience < training.epochs:
        settings["patience"] = training.patience
    return settings


def _undecayed(training: TrainingSettings, parameters: Iterable[str]) -> dict[str, Any]:
    """Return what weight decay leaves alone, if that matters: an older rule let learned strengths decay."""
    return {"undecayed": ["raw_alpha"]} if training.weight_decay and any(map(is_strength, parameters)) else {}


def _plan_network(config: TrialConfig, data: DataInfo) -> tuple[dict[str, Any], nn.Module]:
    """Return what builds the network, reduced to what matters, and the network without weights."""
    settings: dict[str, Any] = {
        "name": config.model.name,
        "width": config.model.width,
        "num_classes": data.n_classes,
        "in_channels": data.channels,
        "image_size": data.image_size,
        "push_pull": None,
    }
    source = model_source_digest(config.model.name)
    if source:
        settings["source"] = source
    push_pull = config.push_pull
    if push_pull.where.strip() != "none":
        settings["push_pull"] = {
            "where": places(push_pull.where),
            "h": push_pull.h,
            "alpha": push_pull.alpha,
            "learn_alpha": push_pull.learn_alpha,
        }
    network = build_on_meta(settings)
    if settings["push_pull"] is not None:
        layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, PushPull2d)}
        settings["push_pull"] |= {"where": list(layers), "h": canonical_h(layers.values())}
    _check_forward(canonical_json(settings))
    return settings, network


@lru_cache(maxsize=256)
def _check_forward(settings_json: str) -> None:
    """Try a network on two blank images, without weights, or with weights where it needs them.

    Raises:
        InputError: it cannot take images of this size, or does not return a logit for each class.
    """
    settings = json.loads(settings_json)
    shape = (2, settings["in_channels"], settings["image_size"], settings["image_size"])
    try:
        logits = _respond(build_on_meta(settings), torch.zeros(shape, device="meta"))
    except Exception:  # what cannot run without weights raises as it likes
        try:
            logits = _respond(build_network(settings, seed=0), torch.zeros(shape))
        except Exception as error:
            size = f"{shape[1]}×{shape[2]}×{shape[3]}"
            raise InputError(f"model {settings['name']!r} cannot take images of {size}: {error}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, settings["num_classes"]):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(
            f"model {settings['name']!r} must return logits (n, {settings['num_classes']}), got {found} for 2 images"
        )


@torch.no_grad()
def _respond(network: nn.Module, images: torch.Tensor) -> Any:
    return network.eval()(images)


def canonical_h(layers: Any) -> float:
    """Return one h that stands for all that give these push–pull layers the same pull kernels.

    h acts through ŝ alone: a kernel of side s has the pull kernel ŝ for all h in [(ŝ − 1)/s, (ŝ + 1)/s). What is
    returned is 1 where no kernel grows, else the middle of what the layers' ranges have in common.
    """
    sizes = {
        (side, pull) for layer in layers for side, pull in zip(layer.kernel_size, layer.pull_kernel_size, strict=True)
    }
    if all(side == pull for side, pull in sizes):
        return 1.0
    low = max(max(1.0, (pull - 1) / side) for side, pull in sizes)
    high = min((pull + 1) / side for side, pull in sizes)
    return round((low + high) / 2, 6)


def _plan_evaluation(config: TrialConfig, data: DataInfo) -> dict[str, Any]:
    evaluate = config.evaluate
    table = data.severity_table if evaluate.table == "auto" else evaluate.table
    covered = table_corruptions(table)
    for name in (*evaluate.corruptions, *evaluate.objective):
        if name not in covered:
            raise unknown_name(f"corruption of the severity table {table!r}", name, covered)
    shape = (data.channels, data.image_size)
    possible = [name for name in covered if _impossible(name, table, *shape) is None]
    for name in (*evaluate.corruptions, *evaluate.objective):
        if name not in possible:
            raise InputError(f"corruption {name!r} cannot be had of these images: {_impossible(name, table, *shape)}")
    objective = evaluate.objective or tuple(name for name in OBJECTIVES.get(table, possible) if name in possible)
    corruptions = evaluate.corruptions or [name for name in REPORTED.get(table, possible) if name in possible]
    files = {name: data.corruption_files[name] for name in corruptions if name in data.corruption_files}
    if data.corruption_folder is not None and len(files) < len(corruptions):
        missing = ", ".join(f"{name}.npy" for name in corruptions if name not in files)
        raise InputError(f"folder of corrupted images {data.corruption_folder} lacks {missing}")
    return {
        "table": table,
        "corruptions": list(corruptions),
        "objective": list(objective),
        "severities": sorted(evaluate.severities),
        **({"files": files} if files else {}),
        **_corruption_sources((*corruptions, *objective)),
    }


@cache
def _impossible(name: str, table: str, channels: int, image_size: int) -> str | None:
    """Return why a corruption has no meaning for images of a shape (saturation of grey ones, say), or None."""
    grey = torch.full((1, channels, image_size, image_size), 128, dtype=torch.uint8)
    try:
        corrupt(grey, name, 1, seed=0, table=table)
    except InputError as error:
        return str(error)
    return None


def _corruption_sources(names: Iterable[str]) -> dict[str, Any]:
    """Return {"source": {corruption: hash of a user's own file, or the pictures of frost}}, or nothing."""
    sources = {name: CORRUPTION_REGISTRY.source_digest(name) for name in sorted(set(names))}
    if "frost" in sources and sources["frost"] is None:
        sources["frost"] = frost_source().key
    own = {name: source for name, source in sources.items() if source}
    return {"source": own} if own else {}


def _wanted_layers(network: nn.Module, layers: str) -> dict[str, nn.Module]:
    """Return the rankable layers that "first", "all", "first-K" or names joined by commas mean."""
    rankable = filter_layers(network)
    words = layers.strip()
    if words == "all":
        return rankable
    if words == "first" or words.startswith("first-"):
        count = int(words.removeprefix("first-")) if words.removeprefix("first-").isdigit() else 1
        if words != "first" and (str(count) != words.removeprefix("first-") or not 1 <= count <= len(rankable)):
            raise InputError(
                f"`finetune.layers` = 'first-K' needs K from 1 to the network's {len(rankable)} layers, got {layers!r}"
            )
        return dict(list(rankable.items())[:count])
    names = [name.strip() for name in words.split(",") if name.strip()]
    if not names:
        raise InputError(f"`finetune.layers` must be first, all, first-K or layer names, got {layers!r}")
    for name in names:
        if name not in rankable:
            raise unknown_name("layer for `finetune.layers`", name, ["first", "all", "first-K", *rankable])
    return {name: layer for name, layer in rankable.items() if name in names}


def _n_filters(layer: nn.Module) -> int:
    return int(layer.out_channels)  # type: ignore[arg-type]


def _check_distortion(distortion: DistortionSettings, data: DataInfo) -> None:
    blank = torch.zeros(1, data.channels, data.image_size, data.image_size, dtype=torch.uint8)
    distort(blank, distortion.name, distortion.level, seed=0)
    if distortion.n_images > data.n_train:
        raise InputError(
            f"`distortion.n_images` must be at most the {data.n_train} training images, got {distortion.n_images}"
        )


def _with_sources(settings: dict[str, Any], registries: Mapping[str, Any]) -> dict[str, Any]:
    """Check that the names are registered, and add the hashes of those that a user's own file defines."""
    for field, registry in registries.items():
        if field in settings:
            registry[settings[field]]
            source = registry.source_digest(settings[field])
            if source:
                settings[f"{field}_source"] = source
    return settings
