"""Torchvision's classifiers, and the weights that are published with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from engine.errors import InputError, unknown_name
from engine.models.published import Published, hub_file

LIBRARY = "torchvision"
FORM = "torchvision:NAME"
CHANNELS = 3
_OWN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False, "transform_input": True},
    "inception_v3": {"aux_logits": False, "init_weights": False, "transform_input": True},
}
"""Both have further classifiers for their training, which end in other values than logits alone."""
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Of the files of densely connected networks, which were written before a name could have no dot."""
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
    return models.get_model(name, weights=None, num_classes=num_classes, **own)


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


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_OLD_NAME.sub(r"\1\2", name): value for name, value in weights.items() if not _FURTHER.match(name)}
