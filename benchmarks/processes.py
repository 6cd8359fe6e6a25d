"""Processes that compute beside each other for a benchmark, and are not waited for once one of them has died."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

_END_S = 10.0


class Processes:
    """Some processes, each at the other end of a pipe; left, those that still run are ended.

    Args:
        work: what each does, a function of a module: gets its end of the pipe, then its arguments.
        arguments: of each.
        limit_s: seconds that ``hear`` waits for all of them at most.
    """

    def __init__(self, work: Callable[..., None], arguments: Sequence[tuple[Any, ...]], *, limit_s: float) -> None:
        self._work, self._arguments, self._limit_s = work, arguments, limit_s

    def __enter__(self) -> Processes:
        """Start them."""
        context = multiprocessing.get_context("spawn")
        self._processes: dict[Connection, Any] = {}
        for given in self._arguments:
            mine, theirs = context.Pipe()
            self._processes[mine] = context.Process(target=self._work, args=(theirs, *given), daemon=True)
            self._processes[mine].start()
            theirs.close()  # so that the pipe ends with the process
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for them; where something failed they may wait for words that nobody says, and are ended."""
        for process in self._processes.values():
            if kind is None:
                process.join(_END_S)
            process.terminate()
            process.join()

    def tell(self, words: str) -> None:
        """Say something to all of them."""
        for end in self._processes:
            end.send(words)

    def hear(self) -> list[Any]:
        """Return what each tells next.

        Raises:
            SystemExit: one of them has ended instead, or they take longer than the limit.
        """
        told: dict[Connection, Any] = {}
        until = time.monotonic() + self._limit_s
        while waiting := [end for end in self._processes if end not in told]:
            ready = wait(waiting, timeout=max(0.0, until - time.monotonic()))
            if not ready:
                raise SystemExit(
                    f"{len(waiting)} of {len(self._processes)} processes said nothing in {self._limit_s:g} s"
                )
            for end in ready:
                assert isinstance(end, Connection)
                try:
                    told[end] = end.recv()
                except (EOFError, ConnectionResetError):
                    process = self._processes[end]
                    process.join(_END_S)
                    raise SystemExit(f"a process ended with code {process.exitcode} before it told anything") from None
        return [told[end] for end in self._processes]
