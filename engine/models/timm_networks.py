"""Networks of timm, which need not be installed, and the weights that are published with them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from torch import nn

from engine.errors import InputError
from engine.models.published import Published, hub_file

LIBRARY = "timm"
FORM = "timm:NAME"
_FILES = ("model.safetensors", "pytorch_model.bin")


def build(name: str, *, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Return a new network, which takes normalised images.

    Raises:
        InputError: an unknown name, or no timm.
    """
    timm = _timm()
    _check(name)
    own = {"img_size": image_size} if _configuration(name).fixed_input_size else {}
    try:
        return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels, **own)
    except (TypeError, RuntimeError, AssertionError) as error:
        raise InputError(f"{LIBRARY}:{name} cannot be built for images of {image_size} pixels: {error}") from error


def published(name: str, entry: str) -> Published:
    """Return an entry of weights: "default", the one that the name itself means, or a tag ("tv_in1k").

    Raises:
        InputError: an unknown network or entry, one that has no weights, or no timm.
    """
    timm = _timm()
    _check(name)
    architecture = name.partition(".")[0]
    tags = [full.partition(".")[2] for full in timm.list_pretrained(architecture)]
    tags = [tag for tag in tags if tag]
    if entry.lower() != "default":
        if entry not in tags:
            known = ", ".join(["default", *tags])
            raise InputError(f"unknown weights {entry!r} of {LIBRARY}:{architecture}; known: {known}")
        name = f"{architecture}.{entry}"
    found = _configuration(name)
    address = found.url or None
    hub = _hub_files(found.hf_hub_id, found.hf_hub_filename) if found.hf_hub_id else ()
    places = (*hub, *((hub_file(address),) if address else ()))
    if not places:
        raise InputError(f"{LIBRARY}:{name} has no published weights: give a file of them by --init FILE")
    side = found.input_size[-1]
    return Published(
        network=f"{LIBRARY}:{architecture}",
        entry=found.tag or "default",
        mean=tuple(found.mean),
        std=tuple(found.std),
        places=places,
        url=address,
        said=f"{side} pixels of {int(side / found.crop_pct)}",
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise InputError(
            "networks of timm need the package timm, which is not installed: pip install 'robustune[timm]'"
        ) from None
    return timm


def _check(name: str) -> None:
    timm = _timm()
    if not timm.is_model(name):
        known = timm.list_models()
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise InputError(f"unknown network of {LIBRARY} {name!r}{hint}; it has {len(known):,}: timm.list_models()")


def _configuration(name: str) -> Any:
    found = _timm().get_pretrained_cfg(name)
    if found is None:
        raise InputError(f"unknown network of {LIBRARY} {name!r}: it has no weights of this tag")
    return found


def _hub_files(owner_and_name: str, file: str | None) -> tuple[Path, ...]:
    """Return where the hub's cache has a network's file: those that are there, else the one that would be."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    snapshots = cache / f"models--{owner_and_name.replace('/', '--')}" / "snapshots"
    wanted = (file,) if file else _FILES
    there = [place for name in wanted for place in sorted(snapshots.glob(f"*/{name}"))]
    return tuple(there) or (snapshots / "main" / wanted[0],)
