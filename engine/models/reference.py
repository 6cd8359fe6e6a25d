"""CIFAR ResNets and DenseNets from checkpoint files, those that the push–pull authors published and others'."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.build import build_model
from engine.models.checkpoint import Checkpoint, read_checkpoint
from engine.models.libraries import said_of
from engine.models.weights import N_NAMED_KEYS, load_weights

# Mean and standard deviation of CIFAR-10's channels, as the authors normalise (in units of the [0, 1] range).
CIFAR_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
CIFAR_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)

_OF_OTHERS = ("layer4.", "layer1.0.conv3.", "features.denseblock4.")
"""How names begin that networks for larger images have, and residual ones of other blocks."""


def load_reference_checkpoint(
    path: str | os.PathLike[str], *, h: float = 2.0, alpha: float = 1.0
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a network with the weights of one of the authors' files, in evaluation mode, and what is known of it.

    Only weights are read: a file that would run code when it is opened is refused. The architecture follows from the
    names and shapes of the weights; each of them must fit. Others' files do as well, whatever entry they have the
    weights under, whatever the network was wrapped in and the classifier is called.

    Args:
        path: the file (``.pth.tar``) of a CIFAR ResNet or a DenseNet-BC, with or without a push–pull first layer.
        h, alpha: settings of the push–pull layer, which the files do not hold; by default the paper's.

    Returns:
        The model, which takes float images in [0, 1] and normalises with the file's statistics, or CIFAR-10's, and a
        JSON-ready dictionary: ``name``, ``num_classes``, ``in_channels``, ``width``, ``push_pull`` (None or its
        settings), ``epoch`` and ``clean_error`` (a fraction, the lowest on the authors' test images); the last two are
        None where the file does not have them.

    Raises:
        InputError: no such file, one that is cut off or not of this kind, or weights that do not fit or are not finite
            (they are named).
    """
    checkpoint = read_checkpoint(Path(path))
    info = describe(checkpoint, source=str(path), h=h, alpha=alpha)
    if info is None:
        some = ", ".join(list(checkpoint.weights)[:N_NAMED_KEYS])
        raise InputError(
            f"{path} holds neither a CIFAR ResNet nor a DenseNet-BC; its weights begin with: {some or 'none'}"
            + said_of(checkpoint.weights)
        )
    model = build_model(**{name: info[name] for name in ("name", "num_classes", "in_channels", "width", "push_pull")})
    load_weights(model, with_cifar_statistics(checkpoint.weights, info), source=str(path))
    return model.eval(), info


def describe(checkpoint: Checkpoint, *, source: str, h: float = 2.0, alpha: float = 1.0) -> dict[str, Any] | None:
    """Return what is known of a file's network, as ``load_reference_checkpoint`` does; None for one that is not known.

    Raises:
        InputError: its first or last weights are none of such a network.
    """
    found = recognise(checkpoint.weights)
    if found is None:
        return None
    name, first, classifier = found
    if first.ndim != 4 or classifier.ndim != 2:
        shapes = f"{tuple(first.shape)} and {tuple(classifier.shape)}"
        raise InputError(f"{source}: the first convolution and the classifier of a {name} cannot have shapes {shapes}")
    has_push_pull = any(".push." in key for key in checkpoint.names)
    accuracy = _number(checkpoint.facts.get("best_prec1"))
    return {
        "name": name,
        "num_classes": classifier.shape[0],
        "in_channels": first.shape[1],
        "width": first.shape[0],
        "push_pull": {"where": "first", "h": h, "alpha": alpha, "learn_alpha": None} if has_push_pull else None,
        "epoch": _number(checkpoint.facts.get("epoch")),
        "clean_error": None if accuracy is None else round(1 - accuracy / 100, 6),
    }


def with_cifar_statistics(weights: Mapping[str, Tensor], info: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a network of colour images with CIFAR-10's statistics, unless they have their own."""
    statistics = {}
    if info["in_channels"] == len(CIFAR_MEAN):
        statistics = {"normalise.mean": torch.tensor(CIFAR_MEAN), "normalise.std": torch.tensor(CIFAR_STD)}
    return {**statistics, **weights}


def recognise(weights: Mapping[str, Tensor]) -> tuple[str, Tensor, Tensor] | None:
    """Return a model's name, read off the names and shapes of weights, its first kernels and its classifier's weights.

    None where they are neither a CIFAR ResNet's nor a DenseNet-BC's: both have three stages of plain blocks.
    """
    if any(name.startswith(_OF_OTHERS) for name in weights):
        return None
    n_blocks = _count(weights, "layer1.{}.conv1.weight")
    head = _head(weights, "fc.weight")
    if n_blocks and head is not None and "conv1.weight" in weights:
        return f"resnet-{6 * n_blocks + 2}", weights["conv1.weight"], head
    n_layers = _count(weights, "features.denseblock1.denselayer{}.conv1.weight", start=1)
    last = weights.get("features.denseblock1.denselayer1.conv2.weight")
    head = _head(weights, "classifier.weight")
    if n_layers and last is not None and last.ndim == 4 and head is not None and "features.conv0.weight" in weights:
        return f"densenet-bc-{6 * n_layers + 4}-{last.shape[0]}", weights["features.conv0.weight"], head
    return None


def _head(weights: Mapping[str, Tensor], usual: str) -> Tensor | None:
    """Return the classifier's weights: those under the usual name, or of the only linear layer."""
    linear = [value for name, value in weights.items() if value.ndim == 2 and name.endswith(".weight")]
    return weights.get(usual, linear[0] if len(linear) == 1 else None)


def _count(weights: Mapping[str, Tensor], pattern: str, start: int = 0) -> int:
    n = 0
    while pattern.format(start + n) in weights:
        n += 1
    return n


def _number(value: object) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    return value if isinstance(value, int | float) else None
