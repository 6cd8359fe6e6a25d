"""Work on many files in several threads: what takes long (reading, hashing, decoding) leaves the lock to others."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
AT_ONCE = 8
"""Items that a thread takes at a time: fewer would leave it waiting for the next."""
_AHEAD = 4
"""What each thread may have waiting, done or not: results are taken in order, and lie in memory until then."""


def n_threads() -> int:
    """Return how many threads can compute at a time in this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(work: Callable[[A], B], items: Sequence[A], *, threads: int) -> Iterator[B]:
    """Yield what work gives of each item, in their order; what it raises is raised in its place.

    Args:
        work: may run in several threads at a time.
        items: what is worked through.
        threads: how many; 1 for this one alone.
    """
    if threads <= 1 or len(items) <= AT_ONCE:
        yield from map(work, items)
        return

    def all_of(some: Sequence[A]) -> list[B]:
        return [work(item) for item in some]

    parts = (items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE))
    waiting: deque[Future[list[B]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="files")
    try:
        for part in parts:
            waiting.append(pool.submit(all_of, part))
            if len(waiting) == _AHEAD * threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
