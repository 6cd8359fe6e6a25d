"""From a trial's settings to its network: what builds it, reduced to what matters, and what it is checked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from engine.data import DataInfo
from engine.digest import canonical_json
from engine.errors import InputError
from engine.layers import PUSH_PULL
from engine.models import model_source_digest
from engine.models.build import places
from engine.ranking import FilterUnit, check_distance, filter_units
from engine.ranking.network_parts import normalised_by
from engine.settings import PushPullSettings, TrialConfig
from engine.stages.network import build_network, build_on_meta

FEW_WEIGHTS = 2_000_000
SMALL_IMAGE = 64
"""Side in pixels; networks of so many weights at most take milliseconds for an image of this size."""

Result = TypeVar("Result")


def plan_network(config: TrialConfig, data: DataInfo) -> tuple[dict[str, Any], nn.Module]:
    """Return what builds the network, reduced to what matters, and the network without weights.

    Raises:
        InputError: it cannot be built.
    """
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
    elif is_own_width(canonical_json(settings)):
        settings["width"] = None
    push_pull = config.push_pull
    if push_pull.where.strip() != "none":
        settings["push_pull"] = {
            "where": places(push_pull.where),
            "alpha": push_pull.alpha,
            "learn_alpha": push_pull.learn_alpha,
            **_of_variant(push_pull),
        }
    network = _built(settings)
    if settings["push_pull"] is not None:
        layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, PUSH_PULL)}
        settings["push_pull"] |= {"where": list(layers)}
        if push_pull.variant == "2020":  # where nothing is taken away, the pull kernel's size says nothing
            settings["push_pull"] |= {"h": canonical_h(layers.values()) if push_pull.alpha else 1.0}
    return settings, network


def _of_variant(push_pull: PushPullSettings) -> dict[str, Any]:
    """Return what only one of the push–pull layers has."""
    if push_pull.variant == "2020":
        return {"h": push_pull.h}
    is_felt = push_pull.alpha != 0 or push_pull.learn_alpha is not None
    return {"variant": push_pull.variant, "average": push_pull.average if is_felt else 0}


def _built(settings: dict[str, Any]) -> nn.Module:
    """Return the network without weights.

    Raises:
        InputError: it cannot be built.
    """
    try:
        return build_on_meta(settings)
    except InputError:
        raise
    except Exception as error:  # a user's builder raises as it likes
        raise InputError(f"model {settings['name']!r} cannot be built: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=256)
def check_network(settings_json: str) -> None:
    """Try a network on two blank images.

    Args:
        settings_json: what builds the network, as canonical JSON.

    Raises:
        InputError: it cannot take images of this size, or does not return a logit for each class.
    """
    settings = json.loads(settings_json)
    try:
        logits = _tried(settings, 2, _respond)
    except Exception as error:
        size = "×".join(map(str, (settings["in_channels"], settings["image_size"], settings["image_size"])))
        raise InputError(f"model {settings['name']!r} cannot take images of {size}: {error}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, settings["num_classes"]):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(
            f"model {settings['name']!r} must return logits (n, {settings['num_classes']}), got {found} for 2 images"
        )


@lru_cache(maxsize=256)
def check_maps(settings_json: str, layers: tuple[str, ...], distance: str) -> None:
    """Find out whether a distance is defined on the maps of some layers: not all are on maps of a single pixel.

    Args:
        settings_json: what builds the network, as canonical JSON.
        layers: names.
        distance: a registered name.

    Raises:
        InputError: it is not, by the layer's name.
    """
    _tried(
        json.loads(settings_json),
        1,
        lambda network, example: check_distance(network, example, layers, distance=distance),
    )


@lru_cache(maxsize=256)
def units_of(settings_json: str) -> dict[str, FilterUnit]:
    """Return what belongs to the filters of a network's rankable layers, by layer, as far as a forward pass gets there.

    Args:
        settings_json: what builds the network, as canonical JSON.
    """
    return _tried(json.loads(settings_json), 1, filter_units)


def _tried(settings: dict[str, Any], n_images: int, use: Callable[[nn.Module, torch.Tensor], Result]) -> Result:
    """Return what is found out by a network and blank images.

    A large network is tried without weights, unless it needs them; a small one has them. Without them torch computes
    sizes by rules in Python, and imports its compiler for the first of them: that takes longer than all other checks of
    a space.
    """
    shape = (n_images, settings["in_channels"], settings["image_size"], settings["image_size"])
    network = build_on_meta(settings)
    if not _is_small(network, settings["image_size"]):
        try:
            return use(network, torch.zeros(shape, device="meta"))
        except InputError:
            raise
        except Exception:  # what cannot run without weights raises as it likes
            pass
    return use(build_network(settings, seed=0), torch.zeros(shape))


def _is_small(network: nn.Module, image_size: int) -> bool:
    weights = list(network.parameters())
    if image_size > SMALL_IMAGE or any(map(is_lazy, weights)):
        return False
    return sum(value.numel() for value in weights) <= FEW_WEIGHTS


@lru_cache(maxsize=64)
def normalisations_of(settings_json: str) -> dict[str, str]:
    """Return {convolution: the normalisation behind it} of a network, as far as a forward pass gets there.

    Args:
        settings_json: what builds the network, as canonical JSON.
    """
    settings = json.loads(settings_json)
    shape = (1, settings["in_channels"], settings["image_size"], settings["image_size"])
    try:
        return normalised_by(build_on_meta(settings), torch.zeros(shape, device="meta"))
    except Exception:  # what cannot run without weights raises as it likes
        return normalised_by(build_network(settings, seed=0), torch.zeros(shape))


@lru_cache(maxsize=256)
def is_own_width(settings_json: str) -> bool:
    """Return whether a width is the one that the network has if none is given.

    Args:
        settings_json: what builds a plain network of the engine's own, as canonical JSON.
    """
    settings = json.loads(settings_json)
    if settings["width"] is None:
        return True
    given, own = _built(settings), _built({**settings, "width": None})
    return repr(given) == repr(own) and _shapes(given) == _shapes(own)


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


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
