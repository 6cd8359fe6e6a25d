"""The networks that the push–pull authors published, from their checkpoint files."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.build import build_model
from engine.models.weights import N_NAMED_KEYS, load_weights

# Mean and standard deviation of CIFAR-10's channels, as the authors normalise (in units of the [0, 1] range).
CIFAR_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
CIFAR_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)


def load_reference_checkpoint(
    path: str | os.PathLike[str], *, h: float = 2.0, alpha: float = 1.0
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a network with the weights of one of the authors' files, in evaluation mode, and what is known of it.

    Only weights are read: a file that would run code when it is opened is refused. The architecture follows from the
    names and shapes of the weights; each of them must fit.

    Args:
        path: the file (``.pth.tar``) of a CIFAR ResNet or a DenseNet-BC, with or without a push–pull first layer.
        h, alpha: settings of the push–pull layer, which the files do not hold; by default the paper's.

    Returns:
        The model, which takes float images in [0, 1] and normalises with CIFAR-10's statistics, and a JSON-ready
        dictionary: ``name``, ``num_classes``, ``in_channels``, ``width``, ``push_pull`` (None or its settings),
        ``epoch`` and ``clean_error`` (a fraction, the lowest on the authors' test images); the last two are None
        where the file does not have them.

    Raises:
        InputError: no such file, one that is cut off or not of this kind, or weights that do not fit (they are named).
    """
    checkpoint = _read(Path(path))
    weights = _find_weights(path, checkpoint)
    name, first, classifier = _recognise(path, weights)
    if first.ndim != 4 or classifier.ndim != 2:
        shapes = f"{tuple(first.shape)} and {tuple(classifier.shape)}"
        raise InputError(f"{path}: the first convolution and the classifier of a {name} cannot have shapes {shapes}")
    has_push_pull = any(".push." in key for key in checkpoint["state_dict"])
    info: dict[str, Any] = {
        "name": name,
        "num_classes": classifier.shape[0],
        "in_channels": first.shape[1],
        "width": first.shape[0],
        "push_pull": {"where": "first", "h": h, "alpha": alpha, "learn_alpha": None} if has_push_pull else None,
    }
    model = build_model(**info)
    load_weights(model, weights, source=str(path))
    if info["in_channels"] == len(CIFAR_MEAN):
        model.normalise.set_statistics(CIFAR_MEAN, CIFAR_STD)  # type: ignore[operator,union-attr]
    info["epoch"] = _number(checkpoint.get("epoch"))
    accuracy = _number(checkpoint.get("best_prec1"))
    info["clean_error"] = None if accuracy is None else round(1 - accuracy / 100, 6)
    return model.eval(), info


def _read(path: Path) -> Mapping[str, Any]:
    """Return the content of a checkpoint file; nothing in it is executed."""
    if not path.is_file():
        raise InputError(f"there is no checkpoint file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is refused: it holds more than weights, or is no checkpoint of torch") from error
    except MemoryError:
        raise
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise InputError(f"{path} cannot be read as a checkpoint of torch: cut off or damaged") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("state_dict"), Mapping):
        raise InputError(f"{path} is not a checkpoint of the push–pull authors: it has no `state_dict`")
    return content


def _find_weights(path: object, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights under the names that they have here."""
    weights: dict[str, Tensor] = {}
    for key, value in checkpoint["state_dict"].items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InputError(
                f"the `state_dict` of {path} must map names to tensors, got {key!r}: {type(value).__name__}"
            )
        weights[key.removeprefix("module.").replace(".push.", ".")] = value
    return weights


def _recognise(path: object, weights: Mapping[str, Tensor]) -> tuple[str, Tensor, Tensor]:
    """Return the model's name, read off names and shapes, its first kernels and its classifier's weights."""
    n_blocks = _count(weights, "layer1.{}.conv1.weight")
    if n_blocks and {"conv1.weight", "fc.weight"} <= weights.keys():
        return f"resnet-{6 * n_blocks + 2}", weights["conv1.weight"], weights["fc.weight"]
    n_layers = _count(weights, "features.denseblock1.denselayer{}.conv1.weight", start=1)
    last = weights.get("features.denseblock1.denselayer1.conv2.weight")
    ends = {"features.conv0.weight", "classifier.weight"}
    if n_layers and last is not None and last.ndim == 4 and ends <= weights.keys():
        name = f"densenet-bc-{6 * n_layers + 4}-{last.shape[0]}"
        return name, weights["features.conv0.weight"], weights["classifier.weight"]
    some = ", ".join(list(weights)[:N_NAMED_KEYS])
    raise InputError(f"{path} holds neither a CIFAR ResNet nor a DenseNet-BC; its weights begin with: {some or 'none'}")


def _count(weights: Mapping[str, Tensor], pattern: str, start: int = 0) -> int:
    n = 0
    while pattern.format(start + n) in weights:
        n += 1
    return n


def _number(value: object) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    return value if isinstance(value, int | float) else None
