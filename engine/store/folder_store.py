"""A store in a folder: safetensors and JSON, nothing unpickled, every file checked.

An attempt writes into a folder of its own and is renamed into place when it is whole, so that a reader sees all of an
artifact or nothing. Two attempts at one key do no harm: the second finds the place taken and is dropped. What leaves
its place is renamed away before it is removed; a reader that is in the midst of it finds its files gone, as if they
had never been there. A symbolic link in the place of an artifact, or of one of its files, is not followed: it counts
as absent, or as corrupt.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.store.artifact import MANIFEST, Artifact, CorruptArtifactError, read_manifest, why_corrupt
from engine.store.attempts import Attempt, attempt_name, faults_named
from engine.store.leases import (
    FileLease,
    FilePresence,
    LiveLease,
    end_lease,
    find_live,
    live_leases,
    remove_all_left,
    remove_left,
    stage_lease,
    stage_path,
    sweep_lease,
)
from engine.store.leftovers import leftovers, tree_bytes, unfinished
from engine.store.places import folder_of
from engine.store.store import Store
from engine.store.stored import ABANDONED, USE_NOTED_S, Stored, Unfinished, is_key, valid_key

if TYPE_CHECKING:
    from torch import Tensor

_N_TRIES = 8
"""How often a folder is put into its place before what is in the way, again and again, counts as a fault."""


class FolderStore(Store):
    """Artifacts and epoch checkpoints in a folder.

    Layout: ``artifacts/ab/abcdef…/`` for finished ones, ``checkpoints/ab/abcdef…/epoch-00007/`` for a stage under
    way, ``attempts/`` for what is being written, ``leases/`` for who is at work, ``quarantine/`` for what was found
    corrupt.

    Args:
        root: the folder; it is made if it does not exist.
        read_only: whether it is only looked at: nothing is made or tried.

    Raises:
        InputError: it is the address of something else than a folder, or cannot be written, or, to be looked at, is
            not there.
    """

    def __init__(self, root: str | Path, *, read_only: bool = False) -> None:
        self.root = folder_of(root)
        self.address = str(self.root)
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

    def artifact_folder(self, key: str) -> Path:
        """Return where a key's artifact lies, if there is one."""
        return self._place("artifacts", key)

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of a key, noting its use, or None if it is not there (or its manifest is damaged)."""
        artifact = self.look_at(key)
        if artifact is not None:
            _note_use(artifact.folder / MANIFEST)
        return artifact

    def look_at(self, key: str) -> Artifact | None:
        """Return what ``find`` does, without taking that for a use."""
        folder = self.artifact_folder(key)
        if folder.is_symlink():
            return None
        try:
            return Artifact(folder, read_manifest(folder, key))
        except (OSError, CorruptArtifactError):
            return None

    def find_or_clear(self, key: str) -> Artifact | None:
        """Return what ``find`` does; what lies in the place and is no artifact is put aside."""
        artifact = self.find(key)
        if artifact is None:
            self.quarantine(key)
        return artifact

    def look_anew(self, key: str) -> bool:
        """Have this machine ask anew for an artifact that it does not see; return whether it may be there.

        A network file system may remember for a minute that there was none. To make a folder in its place asks the
        server, whatever is remembered, and does no harm: an artifact is renamed onto an empty one. Where a folder could
        be made, there was no artifact.
        """
        folder = self.artifact_folder(key)
        may_be_there = True
        for path in (*reversed(folder.parents[:2]), folder):
            with contextlib.suppress(OSError):
                path.mkdir()
                may_be_there = False
                path.rmdir()
        return may_be_there

    @contextmanager
    def attempt(self, key: str) -> Iterator[Attempt]:
        """Give a folder to write an artifact or a checkpoint in; it is removed unless it was published."""
        folder = self.root / "attempts" / attempt_name(valid_key(key))
        with faults_named(f"beginning {key}", self.root):
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
        key, target = attempt.key, self.artifact_folder(attempt.key)
        with faults_named(f"putting {key} into place", self.root):
            _put(
                attempt.folder,
                target,
                is_there=lambda: self.look_at(key) is not None,
                clear=lambda: self.quarantine(key),
            )
        return self.find(key) or Artifact(target, sealed)

    def quarantine(self, key: str) -> str | None:
        """Put a corrupt artifact aside and return where it is now; its stage will be computed again.

        An artifact that is whole stays: another process has put it there since this one saw that it was not.
        """
        folder = self.artifact_folder(key)
        if not os.path.lexists(folder) or _is_empty(folder) or not why_corrupt(folder, key):
            return None
        with faults_named(f"putting the corrupt {key} aside", self.root):
            (self.root / "quarantine").mkdir(exist_ok=True)
            aside = self.root / "quarantine" / f"{key}-{uuid.uuid4().hex[:8]}"
            try:
                folder.rename(aside)
            except FileNotFoundError:
                return None  # another process was faster
            reason = why_corrupt(aside, key)
            if not reason:
                _put_back(aside, folder)
                return None
        logging.getLogger(__name__).warning(
            "%s; it was put into quarantine (%s), and what is needed of it is computed again", reason, aside
        )
        return str(aside)

    def check(self, key: str) -> None:
        """Check every file of an artifact.

        Raises:
            CorruptArtifactError: it is not there, or not whole.
        """
        artifact = self.look_at(key)
        if artifact is None:
            raise CorruptArtifactError(f"artifact {key} has no manifest that can be read, or is a link")
        try:
            artifact.verify()
        except OSError as error:
            raise CorruptArtifactError(f"artifact {key}: {error.strerror or error}") from error

    def remove(self, key: str) -> None:
        """Remove an artifact; a reader sees all of it or nothing."""
        self.discard(self.artifact_folder(key))

    def discard(self, folder: Path) -> None:
        """Remove a folder of the store; who reads it sees all of it or nothing."""
        aside = self.root / "attempts" / attempt_name(folder.name.partition("-")[0])
        with faults_named(f"removing {folder.name}", self.root), contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            _discard(aside)

    def keys(self) -> Iterator[str]:
        """Yield the keys of all artifacts."""
        for path in sorted((self.root / "artifacts").glob("??/*")):
            if is_key(path.name):
                yield path.name

    def save_checkpoint(self, key: str, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep a stage's state after an epoch; earlier ones of the same stage are dropped."""
        with self.attempt(key) as attempt:
            attempt.write_tensors("state", tensors)
            attempt.write_json("state", state)
            attempt.seal({"epoch": epoch})
            target = self._place("checkpoints", key) / f"epoch-{epoch:05d}"
            with faults_named(f"keeping epoch {epoch} of {key}", self.root):
                self._take_away(target, key)
                _put(
                    attempt.folder,
                    target,
                    is_there=(target / MANIFEST).is_file,
                    clear=lambda: self._take_away(target, key),
                )
        for older in self._epochs(key):
            if older.name < target.name:
                shutil.rmtree(older, ignore_errors=True)

    def checkpoints(self, key: str) -> Iterator[Artifact]:
        """Yield a stage's checkpoints that are whole as far as their manifests say, the last one first."""
        for folder in self._epochs(key):
            with contextlib.suppress(OSError, CorruptArtifactError):
                yield Artifact(folder, read_manifest(folder, key))

    def abandon_checkpoints(self, key: str) -> None:
        """Note that nobody wants a stage any more: of what is not finished, its checkpoints are the first to go."""
        with contextlib.suppress(OSError):  # there may be none
            (self._place("checkpoints", key) / ABANDONED).touch()

    def take_up_checkpoints(self, key: str) -> None:
        """Note that somebody wants a stage again."""
        with contextlib.suppress(OSError):
            (self._place("checkpoints", key) / ABANDONED).unlink()

    def drop_checkpoints(self, key: str) -> None:
        """Remove a finished stage's checkpoints."""
        shutil.rmtree(self._place("checkpoints", key), ignore_errors=True)

    def stage_lease(self, key: str, inputs: Mapping[str, str]) -> FileLease:
        """Return the lease of a stage that is to be computed for this store.

        Args:
            key: the stage's key.
            inputs: keys of what it reads, which stay in the store meanwhile.
        """
        return stage_lease(self.root, key, inputs)

    def stage_holder(self, key: str) -> LiveLease | None:
        """Return the lease of a stage that somebody alive computes, or None."""
        return find_live(stage_path(self.root, key))

    def end_stage_lease(self, key: str, token: str) -> bool:
        """Remove the lease of a stage whose holder, by its token, is known to be dead; return whether it was there."""
        return end_lease(stage_path(self.root, key), token)

    def live_stages(self) -> Iterator[LiveLease]:
        """Yield the leases of the stages that somebody alive computes."""
        yield from (lease for _, lease in live_leases(self.root / "leases" / "stages"))

    def sweep_presence(self, study: str, keys: Collection[str] | Callable[[], Collection[str]]) -> FilePresence:
        """Return what shows the store that a sweep lives on it.

        Args:
            study: the sweep's study.
            keys: what has to stay in the store, whenever it was used last; or a function that returns what has to now.
        """
        return sweep_lease(self.root, study, keys)

    def live_sweeps(self) -> Iterator[tuple[str, LiveLease]]:
        """Yield what the live sweeps show, each with its name."""
        yield from ((path.stem, lease) for path, lease in live_leases(self.root / "leases" / "sweeps"))

    def remove_left_leases(self) -> None:
        """Remove what killed sweeps and stages left among the leases."""
        remove_all_left(self.root)

    def family(self, name: str) -> list[str]:
        """Return the keys that were noted under a family's name, in no order."""
        return [path.name for path in self._place("families", name).glob("*")]

    def join_family(self, name: str, key: str) -> None:
        """Note a key under a family's name; a store that is full goes without."""
        with contextlib.suppress(OSError):
            folder = self._place("families", name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / key).touch()

    def leave_family(self, name: str, key: str) -> None:
        """Take a key back that was noted."""
        (self._place("families", name) / key).unlink(missing_ok=True)

    def n_bytes(self) -> int:
        """Return the size of all that the store holds."""
        return tree_bytes(self.root)

    def inventory(self) -> Iterator[Stored]:
        """Return all artifacts, in no order."""
        for key in self.keys():
            yield Stored(key, tree_bytes(self.artifact_folder(key)), self.used_at(key), self.look_at(key))

    def used_at(self, key: str) -> float:
        """Return when an artifact was last used, to the minute, in seconds since 1970; 0 if it is not there."""
        folder = self.artifact_folder(key)
        return _age_mark(folder / MANIFEST) or _age_mark(folder)

    def unfinished(self) -> Iterator[Unfinished]:
        """Return the checkpoints of stages that nobody is at; they are worth going on from, but no more than that."""
        return unfinished(self.root)

    def leftovers(self, *, whole: Collection[str], broken: Collection[str], kept: Collection[str]) -> Mapping[str, int]:
        """Return {place below the folder: size} of what nobody can need."""
        found = leftovers(self.root, whole=whole, broken=broken, kept=kept)
        return {str(path.relative_to(self.root)): tree_bytes(path) for path in found}

    def remove_leftover(self, name: str) -> None:
        """Remove a leftover; in a broken artifact's place there may be a whole one by now, which stays."""
        path = self.root / name
        if path.is_relative_to(self.root / "leases"):
            remove_left(path)
        elif not path.is_relative_to(self.root / "artifacts"):
            self.discard(path)
        else:
            aside = self.quarantine(path.name)
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)

    def remove_unfinished(self, one: Unfinished) -> None:
        """Remove the checkpoints of a stage; who reads them sees all of it or nothing."""
        self.discard(self.root / one.name)

    def _epochs(self, key: str) -> list[Path]:
        """Return a stage's checkpoints, the last one first."""
        try:
            return sorted(self._place("checkpoints", key).glob("epoch-*"), reverse=True)
        except FileNotFoundError:  # another process drops them in this moment
            return []

    def _place(self, kind: str, key: str) -> Path:
        return self.root / kind / valid_key(key)[:2] / key

    def _take_away(self, path: Path, key: str) -> None:
        """Remove a checkpoint at once for its readers, if there is one."""
        aside = self.root / "attempts" / attempt_name(key)
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)
            _discard(aside)


def _put(folder: Path, target: Path, *, is_there: Callable[[], bool], clear: Callable[[], Any]) -> None:
    """Rename a whole folder into its place, unless a whole one is there.

    Args:
        folder: what is put.
        target: where; what is in the way is cleared, but only once it is known to be.
        is_there: tells whether what is there now is whole.
        clear: takes away what is there and is not.
    """
    for n_left in reversed(range(_N_TRIES)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
            return
        except OSError:
            if is_there():
                return
            if not n_left:
                raise
            clear()


def _is_empty(folder: Path) -> bool:
    """Return whether a folder is empty: as ``look_anew`` makes them for a moment, and then it holds nothing corrupt."""
    with contextlib.suppress(OSError):
        return not folder.is_symlink() and next(folder.iterdir(), None) is None
    return False


def _put_back(aside: Path, folder: Path) -> None:
    """Put a whole artifact back that was taken by mistake, unless there is another by now."""
    try:
        aside.rename(folder)
    except OSError:
        _discard(aside)


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


def _age_mark(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
