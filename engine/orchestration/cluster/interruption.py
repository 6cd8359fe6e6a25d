"""Being asked to end: a terminal that closes and a machine that shuts down mean what Ctrl-C means."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, while the block lasts; SIGHUP stays ignored under ``nohup``.

    Outside the main thread, which alone may say so, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    catch_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def catch_signals() -> None:
    """Pass the signals on again, after a library (Ray) has put its own handlers in the place of ours."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _pass_on)


def say_first(tell: Callable[[], object]) -> None:
    """Have something called at Ctrl-C, before what handles it now."""
    handle = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handle):
        return

    def told(number: int, frame: FrameType | None) -> None:
        tell()
        handle(number, frame)

    signal.signal(signal.SIGINT, told)


@contextmanager
def children_without_terminal() -> Iterator[None]:
    """Have the processes that are started in the block outlive a terminal that closes: the sweep ends them in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before or signal.SIG_DFL)


def _pass_on(number: int, _: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_terminal()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell's script starts what it leaves in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _leave_terminal() -> None:
    """Have what is printed from here on go nowhere, where it went to the terminal that has closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and stream.isatty():
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
