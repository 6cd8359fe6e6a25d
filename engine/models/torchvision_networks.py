"""Torchvision's classifiers, and the weights that are published with them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Set
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.errors import InputError, unknown_name
from engine.models.checkpoint import COUNTER
from engine.models.published import Published, hub_file
from engine.models.weights import OPTIONAL

LIBRARY = "torchvision"
FORM = "torchvision:NAME"
CHANNELS = 3
_CLASSES, _SIDE = 1000, 224
"""ImageNet's classes, and the pixels of a side that positions are for where a network has such."""
_OWN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False, "transform_input": True},
    "inception_v3": {"aux_logits": False, "init_weights": False, "transform_input": True},
}
"""Both have further classifiers for their training, which end in other values than logits alone."""
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Of the files of densely connected networks, which were written before a name could have no dot."""
_NOT_TRAINED = ("running_mean", "running_var", "relative_position_index", "relative_coords_table")
_FURTHER = re.compile(r"(?:AuxLogits|aux1|aux2)\.")


def names() -> list[str]:
    """Return the names of all classifiers."""
    from torchvision import models

    return models.list_models(module=models)


def build(name: str, *, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Return a new network, which takes normalised images.

    Raises:
        InputError: an unknown name, or images without colours.
    """
    from torchvision import models

    if name not in names():
        raise unknown_name(f"network of {LIBRARY}", name, names())
    if in_channels != CHANNELS:
        raise InputError(f"{LIBRARY}:{name} takes images of 3 channels, got {in_channels} (`data.channels`=3 makes 3)")
    own = dict(_OWN_ARGUMENTS.get(name, {}))
    if name.startswith("vit_"):
        own["image_size"] = image_size
    with _CountingForReal() if name.startswith("regnet_") else contextlib.nullcontext():
        return models.get_model(name, weights=None, num_classes=num_classes, **own)


class _CountingForReal(TorchFunctionMode):
    """Keeps counts and lists off the meta device: RegNets work out by them how wide and deep they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch's, those that count on the CPU."""
        kwargs = dict(kwargs or {})
        if func is torch.arange or (func is torch.tensor and isinstance(args[0], list)):
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)


def published(name: str, entry: str) -> Published:
    """Return an entry of weights: "default", or its name with or without that of the enumeration.

    Raises:
        InputError: an unknown network or entry.
    """
    from torchvision import models

    if name not in names():
        raise unknown_name(f"network of {LIBRARY}", name, names())
    entries = models.get_model_weights(name)
    by_name: dict[str, Any] = {item.name: item for item in entries}
    wanted = entry.removeprefix(f"{entries.__name__}.")
    if wanted.lower() == "default":
        found = entries["DEFAULT"]
    elif wanted in by_name:
        found = by_name[wanted]
    else:
        raise unknown_name(f"weights of {LIBRARY}:{name}", entry, ["default", *by_name])
    shape = found.transforms()
    scores = found.meta.get("_metrics", {}).get("ImageNet-1K", {})
    share = f", {scores['acc@1']:.1f} % right on ImageNet as published" if "acc@1" in scores else ""
    return Published(
        network=f"{LIBRARY}:{name}",
        entry=f"{entries.__name__}.{found.name}",
        mean=tuple(shape.mean),
        std=tuple(shape.std),
        places=(hub_file(found.url),),
        url=found.url,
        said=f"{shape.crop_size[0]} pixels of {shape.resize_size[0]}{share}",
        renamed=_renamed,
    )


def matching(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the classifiers whose weights have these names and shapes, but for the number of classes."""
    given, possible = _shapes(_renamed(weights)), _counts(_shapes(weights))
    return [name for name in names() if _may_be(name, possible) and _is_alike(_own_shapes(name), given)]


def _may_be(name: str, counts: Set[int]) -> bool:
    """Return whether one of the counts is published as that of a classifier's numbers: to build all takes seconds."""
    from torchvision import models

    return name in _OWN_ARGUMENTS or any(entry.meta["num_params"] in counts for entry in models.get_model_weights(name))


def _counts(given: Mapping[str, tuple[int, ...]]) -> set[int]:
    """Return how many numbers would be trained with ImageNet's classes, whichever weights are the classifier's."""
    sizes = {name: math.prod(shape) for name, shape in given.items() if not name.endswith(_NOT_TRAINED)}
    heads = {(given[name][0], size // given[name][0]) for name, size in sizes.items() if len(given[name]) > 1 and size}
    return {
        sum(sizes.values()) + (_CLASSES - n_classes) * (of_one + n_biases)
        for n_classes, of_one in heads
        for n_biases in (0, 1)  # a few classifiers have none
    }


@cache
def _own_shapes(name: str) -> Mapping[str, tuple[int, ...]]:
    """Return {name: shape} of a classifier's weights."""
    with torch.device("meta"):
        return _shapes(build(name, num_classes=_CLASSES, in_channels=CHANNELS, image_size=_SIDE).state_dict())


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return {name: shape}, but of counters, which old files lack, and of what the input is normalised by."""
    return {name: tuple(value.shape) for name, value in weights.items() if not name.endswith((COUNTER, *OPTIONAL))}


def _is_alike(own: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> bool:
    if own.keys() != given.keys():
        return False
    others = [(shape, given[name]) for name, shape in own.items() if shape != given[name]]
    return all(shape[:1] == (_CLASSES,) and shape[1:] == other[1:] for shape, other in others)


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_OLD_NAME.sub(r"\1\2", name): value for name, value in weights.items() if not _FURTHER.match(name)}
