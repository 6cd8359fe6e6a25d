"""Functions that work on files, run in threads of which one goes on at a time, in every order of a bounded number.

A step of a function ends before each of its file operations: opening, linking, renaming, removing, touching, making a
folder. Between two steps any other function may do any number of its own.
"""

import functools
import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

Preemptions = tuple[tuple[int, int], ...]
"""Before which steps another function goes on, and which."""
_local = threading.local()


def gate_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every file operation of a function that ``run_interleaved`` runs wait for its turn."""
    for module, name in (
        *((os, name) for name in ("link", "rename", "replace", "unlink", "utime", "mkdir")),
        (io, "open"),  # pathlib's own
    ):
        monkeypatch.setattr(module, name, _gated(getattr(module, name)))


def _gated(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def gated(*arguments: Any, **options: Any) -> Any:
        pause = getattr(_local, "pause", None)
        if pause is not None:
            pause()
        return operation(*arguments, **options)

    return gated


class _Actor:
    """A function in a thread that goes on when it is told to."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self.ended = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it go on to its next file operation, or to its end."""
        self._go.release()
        self._paused.acquire()

    def _run(self) -> None:
        self._go.acquire()
        _local.pause = self._pause
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error
        self.ended = True
        self._paused.release()

    def _pause(self) -> None:
        self._paused.release()
        self._go.acquire()


def run_interleaved(functions: Sequence[Callable[[], Any]], preemptions: Preemptions) -> tuple[list[Any], int]:
    """Run functions, the first to its end and then the next but for the preemptions; return their results, and how
    many steps that took.
    """
    actors = [_Actor(function) for function in functions]
    current, switches = 0, dict(preemptions)
    for step in itertools.count():
        if step in switches and not actors[switches[step]].ended:
            current = switches[step]
        while actors[current].ended:
            current = (current + 1) % len(actors)
        actors[current].step()
        if all(actor.ended for actor in actors):
            for actor in actors:
                if actor.error is not None:
                    raise actor.error
            return [actor.result for actor in actors], step + 1
    raise AssertionError("unreachable")


def orders(n_functions: int, n_steps: int, most: int) -> Iterator[Preemptions]:
    """Yield all ways to preempt some functions that take a number of steps together, a number of times at most."""
    for n_preemptions in range(most + 1):
        for steps in itertools.combinations(range(n_steps), n_preemptions):
            for targets in itertools.product(range(n_functions), repeat=n_preemptions):
                yield tuple(zip(steps, targets, strict=True))
