"""A line now and then while nothing else tells that a command is still at work.

A terminal has bars for what takes long. Where there is none, in a log say, and for what has no bar, a line on stderr
says every quarter of a minute what is being done: what is piped on from stdout stays clean.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_S = 15.0
"""For how long a command says nothing at most."""
_LOOK_S = 0.5


class _Signs:
    """What is known of what a command does and has said; there is one of it."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.doing: list[Callable[[], str]] = []
        self.n_shown = 0
        self.is_on = False


_signs = _Signs()


def note_said() -> None:
    """Note that a line was said just now."""
    _signs.last = time.monotonic()


@contextmanager
def doing(what: str | Callable[[], str]) -> Iterator[None]:
    """Say what is being done, where nothing else tells for long; a function says how far it is."""
    describe = what if callable(what) else lambda: what
    _signs.doing.append(describe)
    try:
        yield
    finally:
        _signs.doing.remove(describe)


@contextmanager
def shown() -> Iterator[None]:
    """Say nothing meanwhile: a bar, or lines of another kind, tell."""
    _signs.n_shown += 1
    try:
        yield
    finally:
        _signs.n_shown -= 1
        note_said()


@contextmanager
def signs_of_life(silent_s: float | None = None) -> Iterator[None]:
    """Have a line said on stderr whenever none was for long; within another one it does nothing.

    Args:
        silent_s: how long that is; None for ``SILENT_S``.
    """
    if _signs.is_on:
        yield
        return
    _signs.is_on = True
    started = time.monotonic()
    note_said()
    over = threading.Event()
    limit_s = SILENT_S if silent_s is None else silent_s

    def watch() -> None:
        while not over.wait(min(_LOOK_S, limit_s / 4)):
            now = time.monotonic()
            if not _signs.n_shown and now - _signs.last >= limit_s:
                what = _signs.doing[-1]() if _signs.doing else "still at work"
                print(f"{what} ({now - started:.0f} s)", file=sys.stderr, flush=True)
                note_said()

    watcher = threading.Thread(target=watch, name="signs of life", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(1.0)
        _signs.is_on = False
