"""Images that are made once on a machine, for all of its processes and whoever comes later: corrupted sets, and the
images of a data set as they are set apart.

Each set is a file in the machine's own folder (``ROBUSTUNE_CACHE``, else one of the user's among the temporary files),
mapped by who works on it, so that all processes have one copy, in the page cache, which the system takes back when it
needs memory. Shared memory would not do: containers have 64 MB of it, and Ray's objects lie there. What decides a set's
bytes is in its key, and nothing else is: whoever finds the key finds what he would have made.

A set is written under another name, in room that is taken before, and renamed when it is whole. Who writes holds a lock
on the file, which ends with the process: another one that wants the same set waits for it, and who finds such a file
without a lock may remove it. Who has a set mapped holds a lock on it, too. Of more than ``ROBUSTUNE_SETS_GB`` gigabytes
what was used longest ago goes, unless it is held or was used in the last half hour: a trial that goes through more sets
than there is room for would else push out each of them before it is asked for again. Where there is no room, or
anything else is in the way, images are made as if there were no such folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from engine.machine_cache import bound_bytes, cache_folder, is_anothers
from engine.reservation import reserve

BOUND = "ROBUSTUNE_SETS_GB"
"""The variable that says how many gigabytes of sets a machine keeps; 0 for none."""
DEFAULT_GB = 4.0
FREE_SHARE = 0.5
"""Share of what the disk has free, the sets themselves included, that they take at most."""
RECENT_S = 1800.0
"""How long after its last use a set stays in any case."""
UNUSED_S = 7 * 86400.0
"""How long a set stays that nobody uses."""
WAIT_S = 60.0
"""How long one that another process makes is waited for."""
_POLL_S = 0.05
_TAIL = hashlib.sha256().digest_size
"""Bytes after the images: their checksum."""


class MachineSets:
    """Sets of images by key.

    Args:
        folder: where they are.
        most_bytes: how much they are together, at most.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, most_bytes: float) -> None:
        self._kept, self._making = folder / "kept", folder / "making"
        self._most_bytes = most_bytes
        self._checked: set[tuple[str, int, int]] = set()
        for place in (self._kept, self._making):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = folder / "lock"
        self._lock.touch(mode=0o600)
        self._tidy()

    def made(self, key: str, shape: Sequence[int], make: Callable[[], Tensor]) -> Tensor:
        """Return the images of a key: those that are kept, else made now, and kept for who asks next.

        What the caller writes into them nobody else sees.

        Args:
            key: hash of all that decides them, hexadecimal.
            shape: (n, c, side, side).
            make: makes them, uint8 on the CPU.
        """
        found = self._find(key, shape)
        if found is not None:
            return found
        file = self._begin(key)
        if file is None:
            return make()
        with file:
            try:
                found = self._find(key, shape)  # it may have been waited for
                if found is not None:
                    return found
                if self._take_room(file, math.prod(shape) + _TAIL):
                    images = make()
                    kept = self._find(key, shape) if self._publish(file, key, images) else None
                    return images if kept is None else kept
            finally:
                self._end(file, key)
        return make()

    def _find(self, key: str, shape: Sequence[int]) -> Tensor | None:
        """Return a set, mapped and held as long as it is used; None where there is none. A damaged one is removed."""
        path, n_bytes = self._kept / key, math.prod(shape)
        try:
            with path.open("rb") as file:
                if not n_bytes or not _hold(file) or not os.fstat(file.fileno()).st_nlink:
                    return None
                if os.fstat(file.fileno()).st_size != n_bytes + _TAIL:
                    path.unlink()
                    return None
                mapped = mmap.mmap(file.fileno(), n_bytes, access=mmap.ACCESS_COPY)  # it has a handle, and the lock
                if not self._is_right(file, mapped, key):
                    path.unlink()
                    return None
                with contextlib.suppress(OSError):
                    os.utime(path, ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
        except (OSError, ValueError):  # it is not there, or what stands there is no file
            return None
        return torch.frombuffer(mapped, dtype=torch.uint8).view(tuple(shape))

    def _is_right(self, file: BinaryIO, mapped: mmap.mmap, key: str) -> bool:
        """Return whether a set has its checksum; this process asks once for each."""
        state = os.fstat(file.fileno())
        identity = (key, state.st_ino, state.st_mtime_ns)
        if identity not in self._checked:
            if os.pread(file.fileno(), _TAIL, len(mapped)) != _checksum(key, mapped):
                return False
            self._checked.add(identity)
        return True

    def _begin(self, key: str) -> BinaryIO | None:
        """Return a file for a set that no other process is writing, locked; None where that cannot be had."""
        path, end = self._making / key, time.monotonic() + WAIT_S
        with contextlib.suppress(OSError):
            while True:
                file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
                if _lock_alone(file) and _is_at(path, file):
                    return file
                file.close()
                if time.monotonic() > end:
                    break
                time.sleep(_POLL_S)
        return None

    def _end(self, file: BinaryIO, key: str) -> None:
        """Remove what was begun, unless it has become a set."""
        with contextlib.suppress(OSError):
            if _is_at(self._making / key, file):
                (self._making / key).unlink()

    def _take_room(self, file: BinaryIO, n_bytes: int) -> bool:
        """Give a file room on the disk, for which others go; return whether there is any."""
        try:
            with self._lock.open("rb+") as lock:
                if not _lock_alone(lock, 10.0):  # who counts and takes does it alone
                    return False
                os.ftruncate(file.fileno(), 0)  # where one that has died had begun
                if not self._is_room(n_bytes):
                    return False
                reserve(file.fileno(), n_bytes)
                return True
        except OSError:
            return False

    def _is_room(self, n_bytes: int) -> bool:
        """Return whether so much more may be kept; what was used longest ago is removed for it."""
        sets = sorted(self._files(self._kept))
        used = sum(size for place in (self._kept, self._making) for _, size, _ in self._files(place))
        disk = os.statvfs(self._kept)
        most = min(self._most_bytes, FREE_SHARE * (disk.f_bavail * disk.f_frsize + used))
        if n_bytes > most:
            return False
        for used_at, size, path in sets:
            if used + n_bytes <= most or time.time() - used_at < RECENT_S:
                break
            used -= size * _remove_unless_held(path)
        return used + n_bytes <= most

    def _publish(self, file: BinaryIO, key: str, images: Tensor) -> bool:
        """Write a set whole and give it its name; return whether that was done."""
        import fcntl

        try:
            flat: Any = images.contiguous().numpy().reshape(-1)  # NumPy does not always say that it is a buffer
            pixels = memoryview(flat)
            file.seek(0)
            file.write(pixels)
            file.write(_checksum(key, pixels))
            file.flush()
            (self._making / key).rename(self._kept / key)
            state = os.fstat(file.fileno())
            self._checked.add((key, state.st_ino, state.st_mtime_ns))
            fcntl.flock(file, fcntl.LOCK_UN)  # only now: nobody has written into it since
        except OSError:
            return False
        return True

    def _tidy(self) -> None:
        """Remove what processes that have died were writing, and what nobody has used for long."""
        for _, _, path in self._files(self._making):
            _remove_unless_held(path)
        for used_at, _, path in self._files(self._kept):
            if time.time() - used_at > UNUSED_S:
                _remove_unless_held(path)

    @staticmethod
    def _files(place: Path) -> Iterator[tuple[float, int, Path]]:
        """Yield (when it was used last, in seconds since 1970; bytes; path) of the files of a folder."""
        for path in place.iterdir():
            with contextlib.suppress(OSError):
                state = path.lstat()
                yield state.st_atime, state.st_size, path


def sets_bound() -> float:
    """Return how many bytes of sets a machine keeps.

    Raises:
        InputError: the variable that says it is no number of gigabytes.
    """
    return bound_bytes(BOUND, DEFAULT_GB, or_none=True)


def machine_sets() -> MachineSets | None:
    """Return this machine's sets, as the environment's variables say; None where none are kept.

    Raises:
        InputError: the variable that bounds them is no number of gigabytes.
    """
    most_bytes = sets_bound()
    if most_bytes and hasattr(os, "getuid"):
        with contextlib.suppress(OSError, RuntimeError):  # there is no folder for temporary files, or no home
            return _opened(cache_folder(), most_bytes, os.getpid())
    return None


@lru_cache(maxsize=1)
def _opened(folder: Path, most_bytes: float, process: int) -> MachineSets | None:
    """Return the sets of a folder, or None where it cannot be used; asked once a process."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return None if is_anothers(folder) else MachineSets(folder / "sets", most_bytes)
    return None


def _checksum(key: str, pixels: mmap.mmap | memoryview) -> bytes:
    found = hashlib.sha256(key.encode())
    found.update(pixels)
    return found.digest()


def _hold(file: BinaryIO) -> bool:
    """Keep others from removing a file while it is open; who has it alone has it for a moment only."""
    import fcntl

    return _locked(file, fcntl.LOCK_SH, 1.0)


def _lock_alone(file: BinaryIO, wait_s: float = 0.0) -> bool:
    import fcntl  # here: not every system has it

    return _locked(file, fcntl.LOCK_EX, wait_s)


def _locked(file: BinaryIO, kind: int, wait_s: float) -> bool:
    """Take a lock on a file until it is closed, also where it was mapped meanwhile; return whether that was done."""
    import fcntl

    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _remove_unless_held(path: Path) -> bool:
    """Remove a file, unless a process writes it or has it mapped; return whether that was done."""
    with contextlib.suppress(OSError), path.open("rb+") as file:
        if _lock_alone(file) and _is_at(path, file):
            path.unlink()
            return True
    return False
