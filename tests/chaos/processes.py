"""The processes of a sweep, found from its driver's down: nobody else's are ever touched."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process: its number, its title, and when it was born (numbers are used again)."""

    number: int
    title: str
    born: str


def descendants(root: int) -> Iterator[Process]:
    """Yield the processes below one, as long as they live."""
    children: dict[int, list[tuple[int, str]]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            stat = _read(folder / "stat").rpartition(")")[2].split()
            if stat and stat[0] not in "ZX":
                children.setdefault(int(stat[1]), []).append((int(folder.name), stat[19]))
    waiting = [root]
    while waiting:
        for number, born in children.get(waiting.pop(), []):
            waiting.append(number)
            title = _read(Path(f"/proc/{number}/cmdline")).replace("\0", " ").strip()
            yield Process(number, title, born)


def kill(process: Process) -> bool:
    """Kill a process, unless it has ended (and another has its number) meanwhile; return whether it was killed."""
    stat = _read(Path(f"/proc/{process.number}/stat")).rpartition(")")[2].split()
    if not stat or stat[19] != process.born:
        return False
    try:
        os.kill(process.number, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(processes: list[Process], timeout_s: float) -> list[Process]:
    """Wait until processes have ended; return those that have not."""
    end = time.monotonic() + timeout_s
    while (left := [process for process in processes if _lives(process)]) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def _lives(process: Process) -> bool:
    stat = _read(Path(f"/proc/{process.number}/stat")).rpartition(")")[2].split()
    return bool(stat) and stat[19] == process.born and stat[0] not in "ZX"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
