"""Leases: who is at work on what, shown by a file that its holder keeps fresh.

A lease is a promise of its holder, not a lock: whoever finds it stale takes it over. A holder that died on this machine
is known at once by its process, one elsewhere by a file that has not been touched for ``DEAD_S`` (machines' clocks are
taken to agree better than that). Of any number of contenders one gets it (see ``engine.store.claims``). Where files
cannot be written, everybody gets every lease: work is then done twice, which the store allows.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.store.claims import content_of, end, look, take, written
from engine.store.holders import Heartbeat, Holder

_OWN_NAME = re.compile(r"\.?[0-9a-f]{16,64}(\.json|\.new)?")
"""Files among the leases that are no person's: leases, and what was to become one."""
BEAT_S = 5.0
"""How often a holder shows that it lives."""


class FileLease:
    """A lease in a file, which several may want.

    Args:
        path: the file; ``acquire`` makes its folder.
        note: what others should know of the holder's work, as JSON.
    """

    def __init__(self, path: Path, note: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._note = dict(note or {})
        self._holder: Holder | None = None
        self._heartbeat: Heartbeat | None = None

    def acquire(self) -> bool:
        """Take the lease and keep it fresh, unless somebody alive has it or just ends it.

        Returns:
            Whether the holder may go to work.
        """
        self.release()
        holder = Holder.this_process()
        try:
            if not self._claim(holder):
                return False
        except OSError:
            return True  # no file can be written here: nobody can hold anything
        self._holder = holder
        self._heartbeat = Heartbeat(self._beat, BEAT_S)
        return True

    def release(self) -> None:
        """Give the lease back, if it is held."""
        holder, self._holder = self._holder, None
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if holder is not None:
            with contextlib.suppress(OSError):
                end(self.path, holder.token)

    @property
    def is_held(self) -> bool:
        """Return whether the lease was taken, and nobody has taken it over since, while this machine slept, say."""
        holder = self._holder
        try:
            found = look(self.path)
        except OSError:
            found = None
        return holder is not None and (found is None or found.token == holder.token)

    def __enter__(self) -> Self:
        """Take the lease, whether or not somebody else has it."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _claim(self, holder: Holder) -> bool:
        for is_last in (False, True):
            try:
                with written(self.path, content_of(holder, self._note)) as scratch:
                    return take(self.path, scratch, holder.token)
            except FileNotFoundError:  # somebody has removed the folder, or what lay there, in this moment
                if is_last:
                    raise
        raise AssertionError("unreachable")

    def _beat(self) -> None:
        holder = self._holder
        if holder is None:
            return
        found = look(self.path)
        if found is None:  # deleted by hand, or, while this machine slept, as one that is stale
            if self._holder is holder:
                self._claim(holder)
        elif found.token == holder.token:
            os.utime(self.path)
        if self._holder is not holder:  # released while this beat hung: nobody would keep it fresh
            end(self.path, holder.token)


class FilePresence:
    """A file by which others see that somebody is there, and what he needs; nobody else wants it.

    Args:
        path: the file, whose name is nobody else's.
        note: returns what others should know, as JSON; it is asked again at every beat.

    Attributes:
        name: tells it from all others in its folder.
    """

    def __init__(self, path: Path, note: Callable[[], Mapping[str, Any]]) -> None:
        self.path = path
        self.name = path.stem
        self._note = note
        self._text = ""
        self._holder: Holder | None = None
        self._heartbeat: Heartbeat | None = None

    def __enter__(self) -> Self:
        """Show it, if files can be written."""
        self._holder = Holder.this_process()
        with contextlib.suppress(OSError):
            self._show()
        self._heartbeat = Heartbeat(self._show, BEAT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show it no more."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _show(self) -> None:
        assert self._holder is not None
        text = content_of(self._holder, self._note())
        with contextlib.suppress(FileNotFoundError):  # removed as stale, while this machine slept
            if text == self._text:
                os.utime(self.path)
                return
        with written(self.path, text) as scratch:
            scratch.replace(self.path)
        self._text = text


@dataclass(frozen=True)
class LiveLease:
    """A lease that somebody alive holds.

    Attributes:
        holder: who; None where the file could not be read (it is just being written).
        note: what the holder says of its work.
    """

    holder: Holder | None
    note: Mapping[str, Any]


def find_live(path: Path) -> LiveLease | None:
    """Return a lease that is held by somebody alive, or None."""
    try:
        claim = look(path)
    except OSError:
        return None
    return LiveLease(claim.holder, claim.note) if claim is not None and claim.is_live else None


def live_leases(folder: Path) -> Iterator[tuple[Path, LiveLease]]:
    """Yield the leases in a folder that somebody alive holds."""
    for path in sorted(folder.glob("*.json")):
        lease = find_live(path)
        if lease is not None:
            yield path, lease


def left_leases(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, and of those below it, that the dead left: leases, and what was to become one."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            ours = _OWN_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink()
            claim = look(path) if ours else None
            if claim is not None and not claim.is_live:
                yield path


def remove_left(path: Path) -> None:
    """Remove a lease that the dead left, unless somebody has taken it meanwhile."""
    with contextlib.suppress(OSError):
        claim = look(path)
        if claim is not None and not claim.is_live:
            end(path, claim.token)


def end_lease(path: Path, token: str) -> bool:
    """Remove the lease of a holder that is known to be dead, by its token; return whether it was there."""
    with contextlib.suppress(OSError):
        return end(path, token)
    return False


def remove_all_left(root: Path) -> None:
    """Remove what killed sweeps and stages left among the leases of the store in a folder."""
    for path in list(left_leases(root / "leases")):
        remove_left(path)


def stage_lease(root: Path, key: str, inputs: Mapping[str, str]) -> FileLease:
    """Return the lease of a stage that is being computed for the store in a folder.

    Args:
        root: the store's folder.
        key: the stage's key.
        inputs: keys of what it reads, which stay in the store meanwhile.
    """
    return FileLease(stage_path(root, key), {"key": key, "inputs": list(inputs.values())})


def stage_path(root: Path, key: str) -> Path:
    """Return the file of a stage's lease."""
    return root / "leases" / "stages" / f"{key}.json"


def sweep_lease(root: Path, study: str, keys: Collection[str] | Callable[[], Collection[str]]) -> FilePresence:
    """Return what shows a store that a sweep lives on it.

    Args:
        root: the store's folder.
        study: the sweep's study.
        keys: what has to stay in the store, whenever it was used last; or a function that returns what has to now.
    """
    path = root / "leases" / "sweeps" / f"{uuid.uuid4().hex}.json"
    return FilePresence(path, lambda: {"study": study, "keys": sorted(keys() if callable(keys) else keys)})
