"""Content-addressed artifacts: safetensors and JSON under one folder or bucket, nothing unpickled, every file checked.

An attempt writes into a folder of its own and is renamed into place when it is whole, so that a reader sees all of an
artifact or nothing. Two attempts at one key do no harm: the second finds the place taken and is dropped. A symbolic
link in the place of an artifact, or of one of its files, is not followed: it counts as absent, or as corrupt.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
USE_NOTED_S = 3600.0
"""How old the note of an artifact's last use may be before another use renews it."""
_KEY = re.compile(r"[0-9a-f]{16,64}")
_FILE = re.compile(r"[A-Za-z0-9_.-]+")


class CorruptArtifactError(Exception):
    """An artifact's file is missing or is not what its manifest says."""


class StoreFaultError(Exception):
    """The store's disk refuses: it is full, or read-only, or away. The message says which, and what was being done."""


class Artifact:
    """A finished stage's files.

    Attributes:
        folder: where they are on this machine.
        manifest: the stage's key, its spec, its files' checksums, its history, and what it ran on.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of ``name``.safetensors, on the CPU.

        Raises:
            CorruptArtifactError: the file is missing or its checksum differs.
        """
        from safetensors.torch import load_file  # here, so that light processes can read manifests without torch

        return load_file(self._checked(f"{name}.safetensors"))

    def json(self, name: str) -> Any:
        """Return the value of ``name``.json.

        Raises:
            CorruptArtifactError: the file is missing or its checksum differs.
        """
        return json.loads(self._checked(f"{name}.json").read_text())

    @property
    def history(self) -> list[dict[str, Any]]:
        """Return what the stage reported, one record an epoch."""
        return self.manifest["history"]

    def verify(self) -> None:
        """Check every file.

        Raises:
            CorruptArtifactError: one is missing or its checksum differs.
        """
        for name in self.manifest["files"]:
            self._checked(name)

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        expected = self.manifest["files"].get(name)
        if expected is None or not _FILE.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise CorruptArtifactError(f"artifact {self.manifest['key']} has no file {name}")
        if _checksum(path) != expected:
            raise CorruptArtifactError(f"artifact {self.manifest['key']}: checksum of {name} differs from its manifest")
        return path


class Attempt:
    """One try at making an artifact: a folder of its own that nobody else reads."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write ``name``.safetensors."""
        from safetensors.torch import save_file

        contiguous = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        path = self.folder / _file_name(name, ".safetensors")
        with _faults_named(f"writing {path.name} of {self.key}", self.folder):
            save_file(contiguous, path)

    def write_json(self, name: str, value: Any) -> None:
        """Write ``name``.json."""
        path = self.folder / _file_name(name, ".json")
        text = json.dumps(value, indent=1, allow_nan=False)
        with _faults_named(f"writing {path.name} of {self.key}", self.folder):
            path.write_text(text)

    def seal(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest with every file's checksum; return it."""
        with _faults_named(f"writing {MANIFEST} of {self.key}", self.folder):
            files = {path.name: _checksum(path) for path in sorted(self.folder.iterdir()) if path.name != MANIFEST}
            sealed = {"key": self.key, "files": files, "finished_at": time.time(), **manifest}
            (self.folder / MANIFEST).write_text(json.dumps(sealed, indent=1, allow_nan=False))
        return sealed


class Store:
    """Artifacts and epoch checkpoints in a folder.

    Layout: ``artifacts/ab/abcdef…/`` for finished ones, ``checkpoints/ab/abcdef…/epoch-00007/`` for a stage under
    way, ``attempts/`` for what is being written, ``leases/`` for who is at work, ``quarantine/`` for what was found
    corrupt.

    Args:
        root: the folder; it is made if it does not exist.
        read_only: whether it is only looked at: nothing is made or tried.

    Raises:
        InputError: the folder cannot be written, or, to be looked at, is none.
    """

    def __init__(self, root: str | Path, *, read_only: bool = False) -> None:
        self.root = Path(root).expanduser().absolute()
        if read_only:
            if not self.root.is_dir():
                raise InputError(f"there is no store in {self.root}")
            return
        try:
            (self.root / "attempts").mkdir(parents=True, exist_ok=True)
            probe = self.root / "attempts" / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"store cannot be written: {self.root} ({error.strerror or error})") from error

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of a key, noting its use, or None if it is not there (or its manifest cannot be read)."""
        artifact = self.look_at(key)
        if artifact is not None:
            _note_use(artifact.folder / MANIFEST)
        return artifact

    def look_at(self, key: str) -> Artifact | None:
        """Return what ``find`` does, without taking that for a use."""
        folder = self._place("artifacts", key)
        if folder.is_symlink():
            return None
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            good = manifest["key"] == key and isinstance(manifest["files"], dict)
            return Artifact(folder, manifest) if good else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def attempt(self, key: str) -> Iterator[Attempt]:
        """Give a folder to write an artifact or a checkpoint in; it is removed unless it was published."""
        folder = self.root / "attempts" / f"{_valid_key(key)}-{uuid.uuid4().hex[:12]}"
        with _faults_named(f"beginning {key}", self.root):
            folder.mkdir(parents=True)
        try:
            yield Attempt(folder, key)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, attempt: Attempt, manifest: Mapping[str, Any]) -> Artifact:
        """Seal an attempt, put it into place and return the artifact of its key.

        Where another attempt was faster, that one stays and is returned.
        """
        sealed = attempt.seal(manifest)
        target = self._place("artifacts", attempt.key)
        with _faults_named(f"putting {attempt.key} into place", self.root):
            self._move(attempt.folder, target, replace=self.look_at(attempt.key) is None)
        return self.find(attempt.key) or Artifact(target, sealed)

    def quarantine(self, key: str) -> None:
        """Move a corrupt artifact out of the way; its stage will be computed again."""
        folder = self._place("artifacts", key)
        if os.path.lexists(folder):
            with _faults_named(f"putting the corrupt {key} aside", self.root):
                (self.root / "quarantine").mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    folder.rename(self.root / "quarantine" / f"{key}-{uuid.uuid4().hex[:8]}")

    def remove(self, key: str) -> None:
        """Remove an artifact; a reader sees all of it or nothing."""
        aside = self.root / "attempts" / f"{_valid_key(key)}-{uuid.uuid4().hex[:12]}"
        with contextlib.suppress(FileNotFoundError):
            self._place("artifacts", key).rename(aside)
            _discard(aside)

    def keys(self) -> Iterator[str]:
        """Yield the keys of all artifacts."""
        for path in sorted((self.root / "artifacts").glob("??/*")):
            if _KEY.fullmatch(path.name):
                yield path.name

    def save_checkpoint(self, key: str, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep a stage's state after an epoch; earlier ones of the same stage are dropped."""
        with self.attempt(key) as attempt:
            attempt.write_tensors("state", tensors)
            attempt.write_json("state", state)
            attempt.seal({"epoch": epoch})
            folder = self._place("checkpoints", key)
            with _faults_named(f"keeping epoch {epoch} of {key}", self.root):
                self._move(attempt.folder, folder / f"epoch-{epoch:05d}", replace=True)
        for older in folder.glob("epoch-*"):
            if older.name < f"epoch-{epoch:05d}":
                shutil.rmtree(older, ignore_errors=True)

    def latest_checkpoint(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the state of a stage's last whole checkpoint, or None."""
        for artifact in self._checkpoints(key):
            with contextlib.suppress(OSError, ValueError, KeyError, CorruptArtifactError):
                return artifact.tensors("state"), artifact.json("state")
        return None

    def checkpointed_history(self, key: str) -> list[dict[str, Any]]:
        """Return the epochs' records up to a stage's last whole checkpoint; empty if there is none."""
        for artifact in self._checkpoints(key):
            with contextlib.suppress(OSError, ValueError, KeyError, CorruptArtifactError):
                return list(artifact.json("state")["history"])
        return []

    def drop_checkpoints(self, key: str) -> None:
        """Remove a finished stage's checkpoints."""
        shutil.rmtree(self._place("checkpoints", key), ignore_errors=True)

    def _checkpoints(self, key: str) -> Iterator[Artifact]:
        for folder in sorted(self._place("checkpoints", key).glob("epoch-*"), reverse=True):
            with contextlib.suppress(OSError, ValueError):
                yield Artifact(folder, json.loads((folder / MANIFEST).read_text()))

    def _place(self, kind: str, key: str) -> Path:
        return self.root / kind / _valid_key(key)[:2] / key

    @staticmethod
    def _move(source: Path, target: Path, *, replace: bool) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if replace and os.path.lexists(target):
            _discard(target)
        try:
            source.rename(target)
        except OSError:
            if not (target / MANIFEST).is_file():
                raise


def _valid_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a key is 16 to 64 hexadecimal digits, got {key!r}")
    return key


def _file_name(name: str, suffix: str) -> str:
    if not _FILE.fullmatch(name) or name.startswith("."):
        raise ValueError(f"an artifact's file name has letters, digits, '_', '-' and '.', got {name!r}")
    return name + suffix


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _discard(path: Path) -> None:
    """Remove a folder, or the link in its place."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _note_use(manifest: Path) -> None:
    """Leave the time of an artifact's last use in its manifest's, if that is not recent anyway."""
    with contextlib.suppress(OSError):
        if time.time() - manifest.stat().st_mtime > USE_NOTED_S:
            os.utime(manifest)


@contextmanager
def _faults_named(doing: str, folder: Path) -> Iterator[None]:
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
