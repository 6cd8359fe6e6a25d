"""What is done beside something else: threads that leave the cores to what computes, and imports ahead of time."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterable

LEAST = 19
"""Ray gives its workers a niceness of 15: training comes first."""


def step_back() -> None:
    """Give this thread the least priority, where a thread has one of its own: on Linux."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LEAST)


def step_up(thread: int) -> None:
    """Give another thread, by its native id, the priority of this one, where that is allowed: to root, mostly."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))


def import_beside(modules: Iterable[str]) -> threading.Thread:
    """Import modules in a thread, so that whoever needs them later finds them; return the thread.

    It does not step back: who needs them would wait for a thread that a busy machine may not let run at all.
    """

    def load() -> None:
        for module in modules:
            with contextlib.suppress(Exception):  # whoever needs it says so
                importlib.import_module(module)

    thread = threading.Thread(target=load, name="imports", daemon=True)  # who is told to end doesn't wait for it
    thread.start()
    return thread
