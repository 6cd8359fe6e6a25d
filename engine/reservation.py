"""Room on a disk for a file that is filled through memory: where it lacks, that is said before, as an error."""

from __future__ import annotations

import errno
import os

_BLOCK = 512
"""Bytes that the system counts a file's blocks in, whatever the disk's are."""


def reserve(file: int, n_bytes: int) -> None:
    """Give an open file its size, and blocks of the disk: a mapped file that finds the disk full ends the process.

    Args:
        file: its descriptor, open for reading and writing.
        n_bytes: its size.

    Raises:
        OSError: the disk lacks the space, or refuses; the message says how much is wanted.
    """
    try:
        _reserve(file, n_bytes)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"{reason}: {_size(n_bytes)} are wanted") from error


def _reserve(file: int, n_bytes: int) -> None:
    if not n_bytes:
        return
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, n_bytes)
        return
    free, has = os.fstatvfs(file), os.fstat(file).st_blocks * _BLOCK
    if free.f_bavail * free.f_frsize < n_bytes - has:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.truncate(file, n_bytes)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.3g} MB"
