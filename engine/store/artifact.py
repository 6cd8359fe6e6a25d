"""An artifact in the store, read: safetensors and JSON, nothing unpickled, every file checked against its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
_FILE = re.compile(r"[A-Za-z0-9_.-]+")


class CorruptArtifactError(Exception):
    """An artifact's file is missing or is not what its manifest says."""


class Artifact:
    """A finished stage's files.

    Args:
        folder: where they are on this machine.
        manifest: see below.
        fetch: where they have to be brought here: does so with one, and returns its path, its checksum verified.
        most_bytes: how much may be brought here.

    Attributes:
        folder: where they are on this machine.
        manifest: the stage's key, its spec, its files' checksums, its history, and what it ran on; "shards" are those
            of its files that are brought here when something of them is asked for, and checked then.
        most_bytes: how much may be brought here; None where the files are here anyway.
    """

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        fetch: Callable[[str, str], Path] | None = None,
        most_bytes: float | None = None,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.most_bytes = most_bytes
        self._fetch = fetch

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of ``name``.safetensors, on the CPU.

        Raises:
            CorruptArtifactError: the file is missing or its checksum differs.
        """
        return self._load(self.path_of(f"{name}.safetensors"))

    def _load(self, path: Path) -> dict[str, Tensor]:
        from safetensors.torch import load_file  # here, so that light processes can read manifests without torch

        try:
            return load_file(path)
        except Exception as error:  # safetensors and torch have errors of their own for a file that is gone
            if isinstance(error, FileNotFoundError) or "No such file" in str(error):
                raise self._lacks(path.name) from None
            raise

    @contextmanager
    def held(self, name: str) -> Iterator[dict[str, Tensor]]:
        """Give the tensors of ``name``.safetensors; meanwhile nobody removes this machine's copy of a bucket's file.

        Raises:
            CorruptArtifactError: the file is missing or its checksum differs.
        """
        path = self.path_of(f"{name}.safetensors")
        with ExitStack() as stack:
            while self._fetch is not None and not stack.enter_context(held_file(path)):
                stack.close()  # it was removed in this moment
                path = self.path_of(f"{name}.safetensors")
            yield self._load(path)

    def json(self, name: str) -> Any:
        """Return the value of ``name``.json.

        Raises:
            CorruptArtifactError: the file is missing or its checksum differs.
        """
        path = self.path_of(f"{name}.json")
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            raise self._lacks(path.name) from None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Return what the stage reported, one record an epoch."""
        return self.manifest["history"]

    def verify(self) -> None:
        """Check every file; of those that would have to be brought here no shard.

        Raises:
            CorruptArtifactError: one is missing or its checksum differs.
        """
        for name in self.manifest["files"]:
            if self._fetch is None or name not in self.manifest.get("shards", ()):
                self.path_of(name)

    def path_of(self, name: str) -> Path:
        """Return where a file is on this machine.

        Raises:
            CorruptArtifactError: it is missing or its checksum differs.
        """
        path = self.folder / name
        expected = self.manifest["files"].get(name)
        if expected is None or not _FILE.fullmatch(name):
            raise self._lacks(name)
        if self._fetch is not None:
            return self._fetch(name, expected)
        if path.is_symlink() or not path.is_file():
            raise self._lacks(name)
        try:
            found = checksum(path)
        except FileNotFoundError:  # cleaned up in this moment
            raise self._lacks(name) from None
        if found != expected:
            raise CorruptArtifactError(f"artifact {self.manifest['key']}: checksum of {name} differs from its manifest")
        return path

    def _lacks(self, name: str) -> CorruptArtifactError:
        return CorruptArtifactError(f"artifact {self.manifest['key']} has no file {name}")


def read_manifest(folder: Path, key: str) -> dict[str, Any]:
    """Return the manifest of an artifact or a checkpoint.

    Raises:
        CorruptArtifactError: it is no manifest of that key; the message says why not.
        OSError: it cannot be read.
    """
    return parse_manifest((folder / MANIFEST).read_bytes(), key)


def parse_manifest(text: bytes, key: str) -> dict[str, Any]:
    """Return the manifest of an artifact or a checkpoint from what is written there.

    Raises:
        CorruptArtifactError: it is no manifest of that key; the message says why not.
    """
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"artifact {key}: its manifest is not JSON ({error})") from error
    wrong = _wrong_field(manifest, key)
    if wrong:
        raise CorruptArtifactError(f"artifact {key}: its manifest has no {wrong}")
    return manifest


def _wrong_field(manifest: Any, key: str) -> str:
    """Return what a manifest lacks; "" if it has all that readers rely on."""
    if not isinstance(manifest, dict):
        return "fields"
    files, history, spec = (manifest.get(name) for name in ("files", "history", "spec"))
    inputs = spec.get("inputs", {}) if isinstance(spec, dict) else None
    fields = {
        "key of its own": manifest.get("key") == key,
        "list of files": isinstance(files, dict) and all(isinstance(value, str) for value in files.values()),
        "history": isinstance(history, list) and all(isinstance(record, dict) for record in history),
        "spec": isinstance(inputs, dict) and all(isinstance(value, str) for value in inputs.values()),
        "times": all(isinstance(manifest.get(name, 0.0), int | float) for name in ("seconds", "finished_at")),
    }
    return next((name for name, right in fields.items() if not right), "")


def why_corrupt(folder: Path, key: str) -> str:
    """Return why an artifact's folder cannot be used; "" if it is whole."""
    if folder.is_symlink():
        return f"artifact {key} is a link"
    try:
        Artifact(folder, read_manifest(folder, key)).verify()
    except CorruptArtifactError as error:
        return str(error)
    except OSError as error:
        return f"artifact {key}: {error.strerror or error}"
    return ""


@contextmanager
def held_file(path: Path) -> Iterator[bool]:
    """Keep a file of this machine's cache from being removed; whether it is still there is what is given."""
    import fcntl  # here: not every system has it, and a store in a folder does without

    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield False
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield os.fstat(file.fileno()).st_nlink > 0


def checksum(path: Path) -> str:
    """Return a file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
