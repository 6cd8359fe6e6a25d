"""A machine's own folder for what can be made or fetched again: where it is, and how much may be there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from engine.errors import InputError

FOLDER = "ROBUSTUNE_CACHE"
"""The variable that says where the folder is."""


def cache_folder() -> Path:
    """Return the folder that the variable names, or one of the user's own among the temporary files."""
    base = os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / f"robustune-cache-{os.getuid()}"
    return Path(base).expanduser().absolute()


def is_anothers(folder: Path) -> bool:
    """Return whether the folder is another user's, where nobody has named it."""
    return not os.environ.get(FOLDER) and folder.stat().st_uid != os.getuid()


def bound_bytes(variable: str, default_gb: float, *, or_none: bool = False) -> float:
    """Return how many bytes a variable of the environment allows; it counts gigabytes.

    Args:
        variable: its name.
        default_gb: what it stands for where it is not set.
        or_none: whether it may be 0.

    Raises:
        InputError: it is no number above 0, or, with ``or_none``, below 0.
    """
    text = os.environ.get(variable) or str(default_gb)
    try:
        bound = float(text)
    except ValueError:
        bound = -1.0
    if not 0 <= bound < float("inf") or (bound == 0 and not or_none):
        least = "of at least 0" if or_none else "above 0"
        raise InputError(f"{variable} must be a number of gigabytes {least}, got {text!r}")
    return bound * 1e9
