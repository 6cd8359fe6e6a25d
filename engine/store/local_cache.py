"""Files of a bucket's artifacts on this machine: fetched once for all its processes, bounded, never seen half.

The folder is that of ``ROBUSTUNE_CACHE``, or one of the user's own among the machine's temporary files; it keeps what
was used last, up to ``ROBUSTUNE_CACHE_GB`` gigabytes. What was used in the last minute stays whatever the bound, and so
does a shard of images as long as a process has it mapped. It is only a copy: whoever removes it while nothing runs
loses nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InputError
from engine.machine_cache import FOLDER, bound_bytes, cache_folder, is_anothers
from engine.store.artifact import checksum
from engine.store.attempts import attempt_name, faults_named, is_of_the_dead
from engine.store.stored import valid_key

BOUND = "ROBUSTUNE_CACHE_GB"
"""The variable that says how large the cache may be."""
DEFAULT_GB = 20.0
LOW = 0.9
"""Share of the bound that is cleaned down to."""
RECENT_S = 60.0
"""How long after its last use a file stays in any case: somebody may be reading it."""
CHECK_S = 5.0
"""How often the size is looked at, at most."""
_N_LOCKS = 256
_SHARD = re.compile(r".*-[0-9]{5}\.safetensors")
"""Files that are held while they are mapped, and need no minute of grace."""


class LocalCache:
    """Files by artifact and name.

    Args:
        address: of the store that they are from; each has a folder of its own.

    Raises:
        InputError: the folder cannot be written, or the bound is no number above zero.
    """

    def __init__(self, address: str) -> None:
        self.folder = cache_folder()
        self._own = self.folder / hashlib.sha256(address.encode()).hexdigest()[:16]
        self.max_bytes = bound_bytes(BOUND, DEFAULT_GB)
        self._next_look = 0.0
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("files", "attempts", "locks"):
                (self._own / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_anothers(self.folder):
                raise InputError(f"the local cache is another user's: {self.folder}; {FOLDER} names another folder")
            self._clear_attempts()
        except OSError as error:
            raise InputError(
                f"the local cache cannot be written: {self.folder} ({error.strerror or error}); {FOLDER} names another"
            ) from error

    @property
    def attempts(self) -> Path:
        """Return the folder for what is being written."""
        return self._own / "attempts"

    def begin(self, key: str, doing: str) -> Path:
        """Make a folder for what is being written of a key, and return it.

        Args:
            key: the key.
            doing: what is being done, for the error's message.

        Raises:
            StoreFaultError: the disk refuses.
        """
        folder = self.attempts / attempt_name(valid_key(key))
        with faults_named(doing, folder):
            folder.mkdir(parents=True)
        return folder

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """Give a folder for what is being written of a key; it is removed unless it was moved away."""
        folder = self.begin(key, f"beginning {key}")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def folder_of(self, attempt: str) -> Path:
        """Return where the files of an attempt's artifact are, as far as they are here."""
        return self._own / "files" / attempt

    def take_over(self, attempt: str, folder: Path) -> None:
        """Move the files of an attempt that was published here; where that fails they are fetched when needed."""
        with contextlib.suppress(OSError):
            folder.rename(self.folder_of(attempt))
        self._look_at_size()

    def fetch(self, attempt: str, name: str, expected: str, download: Callable[[Path], bool]) -> Path | None:
        """Return a file with a checksum, downloaded unless it is here; None if it is nowhere.

        Args:
            attempt: whose file it is.
            name: the file's.
            expected: its SHA-256.
            download: writes it into a path; returns whether there was such a file.

        Raises:
            ValueError: what is downloaded has another checksum, twice.
            OSError: it cannot be written here.
        """
        path = self.folder_of(attempt) / name
        with self._locked(f"{attempt}/{name}"):
            if _is(path, expected):
                with contextlib.suppress(OSError):
                    os.utime(path)
                return path
            for _ in range(2):
                scratch = self.attempts / f"fetch-{uuid.uuid4().hex}"
                try:
                    if not download(scratch):
                        return None
                    if checksum(scratch) == expected:
                        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                        scratch.replace(path)
                        self._look_at_size()
                        return path
                finally:
                    scratch.unlink(missing_ok=True)
        raise ValueError(f"checksum of {name} differs from its manifest")

    def forget(self, attempt: str) -> None:
        """Remove an attempt's files from this machine."""
        shutil.rmtree(self.folder_of(attempt), ignore_errors=True)

    @contextmanager
    def _locked(self, what: str) -> Iterator[None]:
        """Let no other process of this machine fetch the same file meanwhile."""
        import fcntl  # here: not every system has it, and a store in a folder does without

        number = int(hashlib.sha256(what.encode()).hexdigest()[:8], 16) % _N_LOCKS
        with (self._own / "locks" / str(number)).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _look_at_size(self) -> None:
        """Remove what was not used for longest, if there is more than may be."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + CHECK_S
        found = []
        for path in self.folder.glob("*/files/*/*"):
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
        n_bytes = sum(size for _, size, _ in found)
        if n_bytes <= self.max_bytes:
            return
        for used_at, size, path in sorted(found):
            if n_bytes <= LOW * self.max_bytes:
                break
            if time.time() - used_at < RECENT_S and not _SHARD.fullmatch(path.name):
                continue
            with contextlib.suppress(OSError):
                n_bytes -= size * _remove_unless_held(path)
                path.parent.rmdir()  # once it is empty

    def _clear_attempts(self) -> None:
        """Remove what processes that have died were writing."""
        for path in self.attempts.iterdir():
            if is_of_the_dead(path.name):
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.startswith("fetch-"):
                with contextlib.suppress(FileNotFoundError):  # a neighbour has just finished it
                    if time.time() - path.stat().st_mtime > 86400.0:
                        path.unlink()


def _remove_unless_held(path: Path) -> bool:
    """Remove a file, unless somebody holds it (see ``held_file``); return whether that was done."""
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
        return True


def _is(path: Path, expected: str) -> bool:
    try:
        return not path.is_symlink() and checksum(path) == expected
    except OSError:
        return False
