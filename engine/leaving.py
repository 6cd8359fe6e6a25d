"""Leaving a process at once: after torch, Ray or MLflow Python takes a second of a core to take everything apart."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

_code: int | None = None


def prepare_to_leave() -> None:
    """Have the process end right after what was registered with ``atexit``, once ``leaving_with`` was called.

    To be called before anything is imported that registers something: what is registered later runs earlier.
    """
    atexit.register(_leave)


def leaving_with(code: int) -> int:
    """Note with which exit code this process is going to end, by ``sys.exit`` or at the end of its program; return it.

    Whoever has not noted one, as after an error that nobody caught, ends as usual.
    """
    global _code
    _code = code
    return code


def _leave() -> None:
    if _code is None:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a terminal that has closed
            stream.flush()
    os._exit(_code)
