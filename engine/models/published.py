"""Weights that are published with a library's networks: which there are, where their files lie, how they are had."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import InputError

_HASH = re.compile(r"-([0-9a-f]{8,})\.")
"""The beginning of a file's SHA-256 in its name, as torch's hub has it."""


def _as_they_are(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(weights)


@dataclass(frozen=True)
class Published:
    """An entry of weights of a library's network.

    Attributes:
        network: its name, with the library's.
        entry: the entry's own name, whatever word it was asked for by.
        mean, std: what the network's input is normalised by, of each channel in units of the [0, 1] range; None of one
            that normalises its input itself.
        places: where its file may lie, the likeliest first; nothing needs to be there.
        url: where it can be had from; None where only the library's own tools fetch it.
        said: what else is published of it, to be read after its name; "".
        renamed: brings the weights of a file to the network's own names.
        load: returns the weights, and sentences to be said of them, where the library alone can read its files; None
            where they are read as any other file.
    """

    network: str
    entry: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    places: tuple[Path, ...]
    url: str | None = None
    said: str = ""
    renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = _as_they_are
    load: Callable[[], tuple[dict[str, Tensor], tuple[str, ...]]] | None = None


def hub_file(url: str) -> Path:
    """Return where torch's hub keeps what it has fetched from an address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2].partition("?")[0]


def fetch(published: Published) -> Path:
    """Return the file of an entry, fetched unless it is there.

    Raises:
        InputError: it is neither here nor can it be had, or its content is not what its name says.
    """
    for place in published.places:
        if place.is_file():
            _check_content(place)
            return place
    expected = published.places[0]
    missing = f"the weights {published.entry} of {published.network} are not on this machine: there is no {expected}"
    if published.url is None:
        raise InputError(f"{missing}; put the file there, or give another by --init FILE")
    place = hub_file(published.url)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(published.url, str(place), _hash_in(place) or None, progress=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: another content than the name says
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{missing}, and {published.url} cannot be fetched ({reason}); put the file there (TORCH_HOME says where "
            "torch looks), or give another by --init FILE"
        ) from error
    return place


def _hash_in(place: Path) -> str:
    found = _HASH.search(place.name)
    return found[1] if found else ""


def _check_content(place: Path) -> None:
    said = _hash_in(place)
    if not said:
        return
    with place.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(said):
        raise InputError(
            f"{place} is damaged or another file: its SHA-256 should begin with {said}, as its name says, but begins "
            f"with {found[: len(said)]}; remove it to have it fetched again"
        )
