"""What is known of an exported network: shape, classes, input, what was put in and tuned, errors, origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from torch import nn

from engine.exporting.portable import IMAGES, LOGITS
from engine.layers import PUSH_PULL, PushPull2d
from engine.layers.pull_kernel import pull_size
from engine.report.exported_trial import ExportedTrial
from engine.report.results import Results
from engine.stages.runner import environment
from engine.store.artifact import Artifact


def describe_network(
    network: nn.Module,
    made: Sequence[Artifact],
    exported: ExportedTrial,
    results: Results,
    class_names: Sequence[str] | None,
) -> dict[str, Any]:
    """Return what ``config.json`` says beside what builds the network, as JSON.

    Args:
        network: the network.
        made: what has made it, in order.
        exported: the trial that it is of.
        results: the study that the trial is of.
        class_names: one for each logit; None where nobody knows them.
    """
    settings, trial = made[0].json("network"), exported.trial
    configuration = results.space.config(trial.settings, seed=trial.seed)
    channels, side = settings["in_channels"], settings["image_size"]
    return {
        "classes": None if class_names is None else list(class_names),
        "input": {
            "name": IMAGES,
            "shape": ["n", channels, side, side],
            "type": "float32",
            "range": [0, 1],
            "of_uint8": "images / 255",
            "colours": "RGB" if channels == 3 else "grey",
            "normalisation": _normalisation(network),
        },
        "output": {"name": LOGITS, "shape": ["n", settings["num_classes"]]},
        "push_pull": push_pull_layers(network, h=configuration.push_pull.h),
        "tuned": [_tuned(artifact) for artifact in made[1:]],
        "errors": trial.errors,
        "origin": {
            "study": results.study,
            "space": results.space.name,
            "trial": trial.number,
            "group": trial.group or "proposal",
            "reason": exported.reason,
            "notes": list(exported.notes),
            "seed": trial.seed,
            "settings": dict(trial.settings),
            "configuration": configuration.flat(),
            "stages": dict(trial.stages),
            "made_with": _without_process(made[-1].manifest.get("environment", {})),
        },
        "exported_with": {"robustune": _version(), **_without_process(environment())},
    }


def push_pull_layers(network: nn.Module, *, h: float) -> dict[str, dict[str, Any]]:
    """Return {layer: its strengths, how these were learned, and what else the inhibition of its variant has}.

    Of 2020 that is h and the sides of the pull kernel in pixels; of 2024 the variant and the side of the average.

    Args:
        network: the network.
        h: that was asked for. Layers are built with one that gives the same pull kernels, which are all that it says.
    """
    return {name: _inhibition(layer, h) for name, layer in network.named_modules() if isinstance(layer, PUSH_PULL)}


def _inhibition(layer: Any, asked: float) -> dict[str, Any]:
    if isinstance(layer, PushPull2d):
        own = {"h": asked if _makes(asked, layer) else layer.h, "pull_kernel_size": list(layer.pull_kernel_size)}
        return {**own, "alpha": layer.alpha.tolist(), "learn_alpha": layer.learn_alpha}
    alpha, learned = (layer.alpha.tolist(), "kernel") if layer.learn_alpha else (layer.alpha, None)
    return {"variant": "2024", "average": layer.average, "alpha": alpha, "learn_alpha": learned}


def with_asked_h(settings: Mapping[str, Any], network: nn.Module, h: float) -> dict[str, Any]:
    """Return what builds a network with the h that was asked for, where that gives the same pull kernels."""
    layers = [layer for layer in network.modules() if isinstance(layer, PushPull2d)]
    if not layers or not all(_makes(h, layer) for layer in layers):
        return dict(settings)
    return {**settings, "push_pull": {**settings["push_pull"], "h": h}}


def _makes(h: float, layer: PushPull2d) -> bool:
    """Return whether the layer would have the same pull kernel with another h."""
    can_be = h == 1 or all(side % 2 for side in layer.kernel_size)
    return can_be and tuple(pull_size(side, h) for side in layer.kernel_size) == layer.pull_kernel_size


def _normalisation(network: nn.Module) -> dict[str, Any] | None:
    """Return what the network itself does first; None where it has no such layer."""
    layer = getattr(network, "normalise", None)
    if layer is None:
        return None
    return {"mean": layer.mean.tolist(), "std": layer.std.tolist(), "inside": True}


def _tuned(artifact: Artifact) -> dict[str, Any]:
    """Return what a stage changed of a network: {parameter: its rows, or None for all of it}, and by which settings."""
    spec, files = artifact.manifest["spec"], artifact.manifest["files"]
    changed: dict[str, Any] = {}
    if "changes.safetensors" in files:
        changes = artifact.tensors("changes")
        for path in changes:
            name, _, kind = path.rpartition(":")
            if kind == "values":
                rows = changes.get(f"{name}:rows")
                changed[name] = None if rows is None else rows.tolist()
    filters = artifact.json("filters") if "filters.json" in files else {}
    parts = {"parts": artifact.json("parts")} if "parts.json" in files else {}
    return {"stage": spec["stage"], "settings": spec["settings"], "filters": filters, **parts, "changed": changed}


def _without_process(made_with: Any) -> dict[str, Any]:
    return {name: value for name, value in made_with.items() if name != "process"}


def _version() -> str | None:
    try:
        return metadata.version("robustune")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return None
