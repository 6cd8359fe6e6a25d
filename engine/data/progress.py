"""A line that counts while files are read, where a person watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")
_FIRST_S = 1.0
_EVERY_S = 0.2


def counted(items: Iterable[T], total: int, what: str, *, stream: TextIO | None = None) -> Iterator[T]:
    """Yield items, and count them on a terminal from the first second on; elsewhere nothing is written.

    Args:
        items: what is worked through.
        total: how many they are.
        what: is happening to them ("decoding pictures").
        stream: where to; the errors' by default, so that what is piped on stays clean.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield from items
        return
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
