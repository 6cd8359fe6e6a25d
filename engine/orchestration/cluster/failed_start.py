"""Why a private Ray did not start: what its error says, and what is found on the machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from engine.orchestration.cluster.inspection import disks_free_gb, memory_gb
from engine.orchestration.cluster.slots import counted

LEAST_GB = 0.1
"""With less than this free a disk counts as full, of memory as used up."""
_BUSY = 2.0
"""Times as many processes as cores that want to run: a machine that has too much to do."""
_OF_A_PATH = "AF_UNIX path length"
"""What Ray says of a folder whose path leaves no room for the names of its sockets."""
_OF_TIME = ("timed out", "failed to start gcs", "no node info found", "failed to get node info")
"""What it says of processes that it has waited for in vain."""


def why_not_started(error: Exception, folder: Path) -> str:
    """Return why Ray cannot be started, as the rest of a sentence.

    The folder is blamed where the error is of it, or its disk is full. Where processes were waited for in vain, one
    wants to know how much the machine has to do.

    Args:
        error: Ray's.
        folder: that Ray has its files in.
    """
    said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(" .")
    free_gb = min(disks_free_gb([folder.parent]).values(), default=float("inf"))
    if _is_of_folder(error) or free_gb < LEAST_GB:
        full = f", whose disk has {free_gb:.2g} GB free" if free_gb < LEAST_GB else ""
        files = f"its files are in {folder}{full}"
        return f"{said}; {files}: RAY_TMPDIR names another folder for them, with room and a short path"
    logs = folder / "session_latest" / "logs"
    if not any(words in str(error).lower() for words in _OF_TIME) and not isinstance(error, TimeoutError):
        return f"{said}; what its processes said is in {logs}"
    found, is_busy = _what_is_found()
    if is_busy:
        return f"{said}; {found}: start again once the machine has less to do"
    return f"{said}; {found}, and what its processes said is in {logs}"


def _what_is_found() -> tuple[str, bool]:
    """Return what the machine has to do, and whether that is too much."""
    load, cores, (memory, memory_free) = os.getloadavg()[0], os.cpu_count() or 1, memory_gb()
    found = f"{load:.1f} processes want to run on {counted(cores, 'core')}"
    found += f", {memory_free:.1f} GB of memory are free" if memory else ""  # 0 where the system does not tell
    return found, load > _BUSY * cores or (memory > 0 and memory_free < LEAST_GB)


def _is_of_folder(error: Exception) -> bool:
    of_files = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR)
    return _OF_A_PATH in str(error) or (isinstance(error, OSError) and error.errno in (*of_files, errno.EDQUOT))
