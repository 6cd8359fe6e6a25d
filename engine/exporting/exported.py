"""A network that was exported, back as a module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.build import PUSH_PULL_FIELDS
from engine.models.libraries import is_of_library
from engine.stages.network import build_network, to_device
from engine.training.correction import add_given_corrections

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = 1
"""Of ``config.json``; raised when a reader of the one before could not read it."""


def load_exported(folder: str | Path, *, device: str | torch.device = "cpu") -> nn.Module:
    """Return an exported network, in evaluation mode: float images (n, c, side, side) in [0, 1] to logits.

    Its layers, parameters and their names are those that it was trained with, so that it can be trained on. Shape,
    classes, errors and origin are in ``config.json`` beside it.

    Args:
        folder: what ``python -m pipelines.export`` has written.
        device: where it is to be.

    Raises:
        InputError: no such folder, one without ``config.json`` or ``model.safetensors``, or with damaged ones, or a
            model that is not registered here: a user's own, whose module has to be imported first.
    """
    folder = Path(folder).expanduser()
    config = read_config(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{folder} has no {WEIGHTS}: it was exported without the format safetensors")
    try:
        network = _rebuilt(config["network"], _read(path))
    except InputError as error:
        own = "; import the module of yours that registers it first" if _is_a_user_s(config["network"]) else ""
        raise InputError(f"the network in {folder} cannot be built: {error}{own}") from error
    return to_device(network, torch.device(device)).eval()


def read_config(folder: Path) -> dict[str, Any]:
    """Return what is known of an exported network.

    Raises:
        InputError: there is no ``config.json``, or none of this project's.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no exported network in {folder}: it has no {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("network"), dict) or "format" not in config:
        raise InputError(f"{path} is not of an exported network: it has no `format` and `network`")
    if config["format"] != FORMAT:
        raise InputError(f"{path} must be of format {FORMAT}, which this version reads, got {config['format']!r}")
    return config


def _is_a_user_s(settings: Mapping[str, Any]) -> bool:
    return "source" in settings and not is_of_library(str(settings.get("name")))


def exported_settings(folder: Path) -> dict[str, Any]:
    """Return the settings, by dotted path, of a trial whose network is wired as an exported one.

    Raises:
        InputError: as ``read_config``, or one whose entry ``network`` is not whole.
    """
    network = read_config(folder)["network"]
    try:
        push_pull = network["push_pull"]
        settings = {"model.name": network["name"], "model.width": network["width"]}
    except KeyError as error:
        raise InputError(f"{folder / CONFIG} lacks {error} of its network") from None
    if push_pull is None:
        return {**settings, "push_pull.where": "none"}
    where = push_pull["where"]
    return settings | {
        "push_pull.where": where if isinstance(where, str) else ",".join(where),
        **{f"push_pull.{name}": push_pull[name] for name in PUSH_PULL_FIELDS if name in push_pull and name != "where"},
    }


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path.name} cannot be read ({error})") from None


def _rebuilt(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the network that settings build, with its weights; correction units are known by these alone."""
    try:
        network = add_given_corrections(build_network(settings, seed=0), weights)
        network.load_state_dict(dict(weights))
    except (KeyError, RuntimeError, AttributeError) as error:  # what settings or weights of another network raise
        raise InputError(f"{CONFIG} and {WEIGHTS} are not of one network ({error})") from error
    return network
