"""What is being written for a store: a folder of its own for each attempt, sealed with a manifest of checksums."""

from __future__ import annotations

import json
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.reservation import reserve
from engine.store.artifact import MANIFEST, checksum
from engine.store.holders import is_mark_of_the_dead, process_mark

if TYPE_CHECKING:
    from torch import Tensor

_FILE = re.compile(r"[A-Za-z0-9_.-]+")


class StoreFaultError(Exception):
    """The store's disk refuses: it is full, or read-only, or away. The message says which, and what was being done."""


class Attempt:
    """One try at making an artifact: a folder of its own that nobody else reads."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write ``name``.safetensors."""
        from safetensors.torch import save_file

        contiguous = _on_host(tensors)
        path = self.folder / _file_name(name, ".safetensors")
        with faults_named(f"writing {path.name} of {self.key}", self.folder):
            write_readable(path, lambda: save_file(contiguous, path))

    def map_images(self, name: str, shape: Sequence[int]) -> np.ndarray:
        """Return the bytes of ``name``.safetensors to be filled: uint8 of a shape, the file mapped into memory.

        What is put there is on the disk; it holds the one tensor "images", and is written by whoever has more of them
        than memory. The disk has the space then: one that turned out to be full would end the process.

        Raises:
            StoreFaultError: it lacks the space, or refuses; the message says how much is wanted.
        """
        path = self.folder / _file_name(name, ".safetensors")
        size = math.prod(shape)
        entry = {"images": {"dtype": "U8", "shape": list(shape), "data_offsets": [0, size]}}
        head = json.dumps(entry).encode()
        head += b" " * (-len(head) % 8)
        with faults_named(f"writing {path.name} of {self.key}", self.folder):
            with path.open("w+b") as file:
                reserve(file.fileno(), 8 + len(head) + size)
                file.write(len(head).to_bytes(8, "little") + head)
            return np.memmap(path, np.uint8, "r+", offset=8 + len(head), shape=tuple(shape))

    def write_json(self, name: str, value: Any) -> None:
        """Write ``name``.json."""
        path = self.folder / _file_name(name, ".json")
        text = json.dumps(value, indent=1, allow_nan=False)
        with faults_named(f"writing {path.name} of {self.key}", self.folder):
            path.write_text(text)

    def seal(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest with every file's checksum; return it."""
        with faults_named(f"writing {MANIFEST} of {self.key}", self.folder):
            files = {path.name: checksum(path) for path in sorted(self.folder.iterdir()) if path.name != MANIFEST}
            always = {"key": self.key, "files": files, "finished_at": time.time(), "spec": {}, "history": []}
            sealed = {**always, **manifest}
            (self.folder / MANIFEST).write_text(json.dumps(sealed, indent=1, allow_nan=False))
        return sealed


def write_readable(path: Path, write: Callable[[], None]) -> None:
    """Have a new file written, with the rights of any other: safetensors lets nobody else read what it writes."""
    path.touch()
    mode = S_IMODE(path.stat().st_mode)
    write()
    if S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, contiguous; those of a GPU come by one copy for each type of number that they have."""
    import torch

    found: dict[str, Tensor] = {}
    elsewhere: dict[Any, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.device.type == "cpu":
            found[name] = tensor.detach().contiguous()
        else:
            elsewhere.setdefault((tensor.device, tensor.dtype), []).append(name)
    for names in elsewhere.values():
        together = torch.cat([tensors[name].detach().flatten() for name in names]).cpu()
        parts = together.split([tensors[name].numel() for name in names])
        found |= {name: part.reshape(tensors[name].shape).clone() for name, part in zip(names, parts, strict=True)}
    return {name: found[name] for name in tensors}


def attempt_name(key: str) -> str:
    """Return a name that no other attempt has: the key, a mark of this process, and digits that are drawn."""
    return f"{key}-{process_mark()}-{uuid.uuid4().hex[:12]}"


def is_of_the_dead(name: str) -> bool:
    """Return whether the attempt of a name is of a process that is known to have ended."""
    return is_mark_of_the_dead(name.partition("-")[2].partition("-")[0])


def _file_name(name: str, suffix: str) -> str:
    if not _FILE.fullmatch(name) or name.startswith("."):
        raise ValueError(f"an artifact's file name has letters, digits, '_', '-' and '.', got {name!r}")
    return name + suffix


@contextmanager
def faults_named(doing: str, folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence.

    Raises:
        StoreFaultError: the disk is full, read-only or away.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif "os error" in str(error):  # safetensors has its own kind of error for the disk's
            reason = str(error).removeprefix("Error while serializing: ").removeprefix("I/O error: ")
        else:
            raise
        raise StoreFaultError(f"the store failed while {doing}: {reason} ({folder})") from error
