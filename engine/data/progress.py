"""A line that counts while files are read."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from engine.signs_of_life import doing, shown

T = TypeVar("T")
_FIRST_S = 1.0
_EVERY_S = 0.2


def counted(items: Iterable[T], total: int, what: str, *, stream: TextIO | None = None) -> Iterator[T]:
    """Yield items, and count them on a terminal from the first second on; elsewhere as ``signs_of_life`` does.

    Args:
        items: what is worked through.
        total: how many they are.
        what: is happening to them ("decoding pictures").
        stream: where to; the errors' by default, so that what is piped on stays clean.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        n_done = 0
        with doing(lambda: f"{what}: {n_done:,} of {total:,}"):
            for n_done, item in enumerate(items, start=1):  # noqa: B007
                yield item
        return
    with shown():
        yield from _counted_on(stream, items, total, what)


def _counted_on(stream: TextIO, items: Iterable[T], total: int, what: str) -> Iterator[T]:
    start = last = time.monotonic()
    width = 0
    try:
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - start >= _FIRST_S and now - last >= _EVERY_S:
                text = f"{what}: {done:,} of {total:,}"
                width, last = max(width, len(text)), now
                stream.write(f"\r{text.ljust(width)}")
                stream.flush()
    finally:
        if width:
            stream.write(f"\r{' ' * width}\r")
            stream.flush()
