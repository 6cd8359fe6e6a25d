"""From a name and settings to a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from engine.errors import InputError, unknown_name
from engine.layers.insertion import insert_push_pull
from engine.layers.strided import make_gradients_right
from engine.models.libraries import build_library_network, is_of_library
from engine.models.model_names import MODELS, find_model
from engine.settings import PushPullSettings

PUSH_PULL_FIELDS = tuple(field.name for field in dataclasses.fields(PushPullSettings))


def build_model(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    image_size: int = 32,
    width: int | None = None,
    push_pull: object | None = None,
) -> nn.Module:
    """Return a new model: float images (n, in_channels, image_size, image_size) in [0, 1] to logits (n, num_classes).

    The weights come from torch's global generator, and a model with push–pull layers draws the same ones as without.
    Under ``torch.device("meta")`` nothing is allocated; names and sizes are all there.

    Args:
        name: a name in ``model_names()``, or another that fits a pattern, such as "resnet-26"; or a library's network,
            such as "torchvision:resnet18" or "timm:resnet18".
        num_classes: number of classes, ≥ 2.
        in_channels: number of image channels, ≥ 1.
        image_size: side of the square images in pixels; each family has a smallest one.
        width: number of filters of the first convolution, ≥ 1; all hidden layers scale with it. None: the family's own.
        push_pull: None for a plain model, or an object or mapping with any of the fields of ``PushPullSettings``; a
            mapping without ``where`` means the first layer, and ``where`` may be several names as well.

    Raises:
        InputError: an unknown name (the nearest is suggested) or a value that is not allowed.
    """
    if not is_of_library(name):
        find_model(name)
    _check_count("num_classes", num_classes, 2)
    _check_count("in_channels", in_channels, 1)
    _check_count("image_size", image_size, 1)
    if width is not None:
        _check_count("width", width, 1)
    settings = _read_push_pull(push_pull)
    model = _built(name, num_classes=num_classes, in_channels=in_channels, image_size=image_size, width=width)
    if not isinstance(model, nn.Module):
        raise InputError(f"the builder of model {name!r} must return a torch.nn.Module, got {type(model).__name__}")
    if settings is not None and settings["where"] != "none":
        model = insert_push_pull(model, **settings)
    return make_gradients_right(model)


def _built(name: str, **asked: Any) -> Any:
    if is_of_library(name):
        return build_library_network(name, **asked)
    pattern, numbers = find_model(name)
    return MODELS[pattern](**asked, **numbers)


def places(where: str) -> str | list[str]:
    """Return what the setting ``push_pull.where`` means to the models: one of their words, or layer names."""
    where = where.strip()
    if where in ("none", "first", "first_block", "all"):
        return where
    return [name.strip() for name in where.split(",") if name.strip()]


def _check_count(name: str, value: object, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InputError(f"`{name}` must be a whole number ≥ {minimum}, got {value!r}")


def _read_push_pull(settings: object | None) -> dict[str, Any] | None:
    """Return the arguments of ``insert_push_pull`` from None, a mapping, or an object with some of the fields."""
    if settings is None:
        return None
    if isinstance(settings, Mapping):
        for key in settings:
            if key not in PUSH_PULL_FIELDS:
                raise unknown_name("push–pull setting", key, PUSH_PULL_FIELDS)
        given = dict(settings)
    else:
        given = {field: getattr(settings, field) for field in PUSH_PULL_FIELDS if hasattr(settings, field)}
        if not given:
            fields = ", ".join(PUSH_PULL_FIELDS)
            raise InputError(f"`push_pull` must be None or have the fields {fields}, got {settings!r}")
    where = given.get("where", "first")
    return {**given, "where": places(where) if isinstance(where, str) else where}
