"""Processes that hold something, by which others can tell whether they still live, and the beat of their hearts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_node = ""


def name_node(node: str) -> None:
    """Have all that this process holds from now on say on which node of a cluster it is."""
    global _node
    _node = node


def node_name() -> str:
    """Return on which node of a cluster this process is; "" where it was not named."""
    return _node


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
        node: its machine's id among those of a cluster, unlike all of any other cluster; "" where that is not known.
    """

    host: str
    place: str
    pid: int
    born: str
    token: str
    since: float
    node: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Return a new holder in this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _place(), pid, _born(pid) or "", uuid.uuid4().hex, time.time(), _node)

    @property
    def process(self) -> dict[str, str | int]:
        """Return what tells its process from all others, on any machine: its {"host", "place", "pid", "born"}."""
        return {"host": self.host, "place": self.place, "pid": self.pid, "born": self.born}

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


def this_process() -> dict[str, str | int]:
    """Return what tells this process from all others, on any machine, as ``Holder.process`` has it."""
    return Holder.this_process().process


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


def process_mark() -> str:
    """Return a word that tells this process from all others, to be part of a file's name; it has no "-"."""
    pid = os.getpid()
    return f"{_machine_mark()}.{pid}.{_born(pid) or ''}"


def is_mark_of_the_dead(mark: str) -> bool:
    """Return whether a word of ``process_mark`` is of a process that is known to have ended."""
    machine, _, process = mark.partition(".")
    number, _, born = process.partition(".")
    return machine == _machine_mark() and number.isdecimal() and _born(int(number)) != born


@cache
def _machine_mark() -> str:
    return hashlib.sha256(f"{socket.gethostname()} {_place()}".encode()).hexdigest()[:8]


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
