"""Leases: who is at work on what, shown by a file that its holder keeps fresh.

A lease is a promise of its holder, not a lock: whoever finds it stale takes it over. A holder that died on this machine
is known at once by its process, one elsewhere by a file that has not been touched for ``DEAD_S`` (machines' clocks are
taken to agree better than that). Where files cannot be written, everybody gets every lease: work is then done twice,
which the store allows.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BEAT_S = 5.0
"""How often a holder shows that it lives."""
DEAD_S = 60.0
"""How long a lease may go without a beat before it counts as left."""


@dataclass(frozen=True)
class Holder:
    """A process that holds a lease.

    Attributes:
        host: its machine's name.
        place: the machine's boot and the process namespace, within which a process number means one process.
        pid: its process number.
        born: when that process started, as the kernel counts (numbers are used again); "" where it cannot be known.
        token: tells this lease from any other of the same process.
        since: when it was taken, in seconds since 1970.
    """

    host: str
    place: str
    pid: int
    born: str
    token: str
    since: float

    @classmethod
    def this_process(cls) -> Self:
        """Return a new holder in this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _place(), pid, _born(pid) or "", uuid.uuid4().hex, time.time())

    @property
    def is_here(self) -> bool:
        """Return whether its process can be looked up from this one."""
        return (self.host, self.place) == (socket.gethostname(), _place())

    @property
    def is_gone(self) -> bool:
        """Return whether it is known that its process has ended."""
        return self.is_here and _born(self.pid) != self.born

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Heartbeat:
    """A daemon thread that calls a function every few seconds; what the function raises is not its matter.

    Args:
        beat: the function.
        every_s: seconds between two calls.
    """

    def __init__(self, beat: Callable[[], None], every_s: float) -> None:
        self._beat = beat
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; a call under way is waited for."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            with contextlib.suppress(Exception):  # a disk or a server that is away now may be back at the next beat
                self._beat()


class FileLease:
    """A lease in a file.

    Args:
        path: the file; ``acquire`` makes its folder.
        note: what others should know of the holder's work, as JSON; or a function that returns it, which is asked
            again at every beat.
    """

    def __init__(self, path: Path, note: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None) -> None:
        self.path = path
        self._note = note if callable(note) else lambda: note or {}
        self._text = ""
        self._holder: Holder | None = None
        self._heartbeat: Heartbeat | None = None

    def acquire(self) -> bool:
        """Take the lease and keep it fresh, unless somebody alive has it; return whether it was to be had."""
        holder = Holder.this_process()
        self._text = self._content(holder)
        try:
            if not self._write(self._text, holder.token):
                return False
        except OSError:
            return True  # no file can be written here: nobody can hold anything
        self._holder = holder
        self._heartbeat = Heartbeat(self._refresh, BEAT_S)
        return True

    def release(self) -> None:
        """Give the lease back, if it is held."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        with contextlib.suppress(OSError):
            if self._is_ours():
                self.path.unlink()
        self._holder = self._heartbeat = None

    def __enter__(self) -> Self:
        """Take the lease, whether or not somebody else has it."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _write(self, text: str, token: str) -> bool:
        """Make the file, or replace it where its holder is gone; return whether it is ours now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = False
        try:
            with self.path.open("x") as file:
                made = True
                file.write(text)
            return True
        except FileExistsError:
            if find_live(self.path) is not None:
                return False
        except OSError:
            if made:  # a disk that is full takes a file's name, but not what is in it
                self.path.unlink(missing_ok=True)
            raise
        self._replace(text, token)
        return _read(self.path).get("holder", {}).get("token") == token

    def _replace(self, text: str, token: str) -> None:
        scratch = self.path.with_name(f".{token}")
        scratch.write_text(text)
        scratch.replace(self.path)

    def _content(self, holder: Holder) -> str:
        return json.dumps({"holder": asdict(holder), "note": dict(self._note())})

    def _refresh(self) -> None:
        if self._holder is None or not self._is_ours():
            return
        os.utime(self.path)
        text = self._content(self._holder)
        if text != self._text:
            self._replace(text, self._holder.token)
            self._text = text

    def _is_ours(self) -> bool:
        return self._holder is not None and _read(self.path).get("holder") == asdict(self._holder)


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
        stale = time.time() - path.stat().st_mtime > DEAD_S
        content = _read(path)
    except OSError:
        return None
    if stale:
        return None
    try:
        holder = Holder(**content["holder"])
        note = dict(content["note"])
    except (KeyError, TypeError, ValueError):
        return LiveLease(None, {})
    return None if holder.is_gone else LiveLease(holder, note)


def live_leases(folder: Path) -> Iterator[tuple[Path, LiveLease]]:
    """Yield the leases in a folder that somebody alive holds."""
    for path in sorted(folder.glob("*.json")):
        lease = find_live(path)
        if lease is not None:
            yield path, lease


def stage_lease(root: Path, key: str, inputs: Mapping[str, str]) -> FileLease:
    """Return the lease of a stage that is being computed for the store in a folder.

    Args:
        root: the store's folder.
        key: the stage's key.
        inputs: keys of what it reads, which stay in the store meanwhile.
    """
    return FileLease(root / "leases" / "stages" / f"{key}.json", {"key": key, "inputs": list(inputs.values())})


def sweep_lease(root: Path, study: str, keys: Collection[str] | Callable[[], Collection[str]]) -> FileLease:
    """Return the lease that shows a store that a sweep lives on it.

    Args:
        root: the store's folder.
        study: the sweep's study.
        keys: what has to stay in the store, whenever it was used last; or a function that returns what has to now.
    """
    path = root / "leases" / "sweeps" / f"{uuid.uuid4().hex}.json"
    return FileLease(path, lambda: {"study": study, "keys": sorted(keys() if callable(keys) else keys)})


def _read(path: Path) -> dict[str, Any]:
    """Return a lease file's content; empty where it is not JSON.

    Raises:
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@cache
def _place() -> str:
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _born(pid: int) -> str | None:
    """Return when a process here started, "" where the system does not tell, or None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() or not _answers(pid) else ""
    ended = fields[0] in "ZX"  # a zombie has ended; its parent has not looked yet
    return None if ended else fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
