"""What the C library does with memory that is freed: training frees and takes the same blocks in every step.

By itself glibc gives what lies free at the end of its heap back to the system, beyond 64 MB for blocks as large as
maps are, and every page of it has to be taken and cleared anew in the next step: a sixteenth of the processor's seconds
of a ResNet-20's step. No number depends on it.
"""

from __future__ import annotations

import ctypes
import os
import sys

KEPT_BYTES = 2**30
"""Free memory at the heap's end that stays with the process."""
_LARGE_BYTES = 2**25
"""Blocks from this size on are the system's at once; glibc would come to it by itself, unless it is told the other."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory(n_bytes: int = KEPT_BYTES) -> bool:
    """Have this process keep freed memory; return whether it does.

    It does not where the C library is another one, or where a variable of its own says what it is to do.

    Args:
        n_bytes: how much of it at most.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _OWN):
        return False
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES) and library.mallopt(_TRIM_THRESHOLD, n_bytes))
    except (AttributeError, OSError):  # no glibc
        return False
