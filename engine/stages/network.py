"""Networks in artifacts: how they are built from settings, and brought back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from engine.data import DataSet
from engine.data.streamed import StreamedImages, channel_statistics
from engine.models import build_model
from engine.seeds import global_draws
from engine.store.artifact import Artifact
from engine.training import apply_changes
from engine.training.correction import add_given_corrections


def build_network(settings: Mapping[str, Any], *, seed: int) -> nn.Module:
    """Return a new network, its weights drawn from ``seed`` whatever the device and the process.

    Args:
        settings: "name", "width", "num_classes", "in_channels", "image_size" and "push_pull" (None, or fields of
            ``PushPullSettings``).
        seed: of the initial weights.
    """
    with global_draws(seed, "initialise"):
        return _build(settings)


def build_on_meta(settings: Mapping[str, Any]) -> nn.Module:
    """Return the network without weights: its layers' names and sizes, in milliseconds."""
    with torch.device("meta"):
        return _build(settings)


def _build(settings: Mapping[str, Any]) -> nn.Module:
    return build_model(
        settings["name"],
        num_classes=settings["num_classes"],
        in_channels=settings["in_channels"],
        image_size=settings["image_size"],
        width=settings["width"],
        push_pull=settings["push_pull"],
    )


def set_input_statistics(network: nn.Module, data: DataSet) -> None:
    """Give the network's normalisation layer the training images' mean and standard deviation of each channel."""
    normalise = getattr(network, "normalise", None)
    if normalise is not None:
        if isinstance(data.train.images, StreamedImages):
            normalise.set_statistics(*channel_statistics(data.train.images))
            return
        values = data.train.images.float() / 255
        normalise.set_statistics(values.mean((0, 2, 3)), values.std((0, 2, 3)))


def to_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its weights laid out for channels-last images."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_network(pretrained: Artifact, finetuned: Artifact | None, device: torch.device) -> nn.Module:
    """Return the network of a pretraining, with a fine-tuning's changes if there is one, in evaluation mode."""
    return restore_network([pretrained, *([finetuned] if finetuned is not None else [])], device)


def restore_network(made: Sequence[Artifact], device: torch.device) -> nn.Module:
    """Return the network that some stages have made one after the other, in evaluation mode.

    Args:
        made: their artifacts: each has a whole network ("network" and "model"), or what it changed of the one before
            ("changes").
        device: where it is to be.

    Raises:
        ValueError: the first of them has no whole network.
    """
    network: nn.Module | None = None
    for artifact in made:
        if "model.safetensors" in artifact.manifest["files"]:
            network = build_network(artifact.json("network"), seed=0)
            weights = artifact.tensors("model")
            add_given_corrections(network, weights).load_state_dict(weights)
        elif network is None:
            raise ValueError(f"artifact {artifact.manifest['key']} has changes of a network, but comes first")
        else:
            apply_changes(network, artifact.tensors("changes"))
    if network is None:
        raise ValueError("no stage has made a network")
    return to_device(network, device).eval()
