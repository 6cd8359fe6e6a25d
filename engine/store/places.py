"""Where a store is, as people name it."""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import InputError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def place_of(place: str | Path, name: str = "store") -> str:
    """Return what ``open_store`` opens of what a person has named: a folder's absolute path.

    Args:
        place: a path, or what was taken for one.
        name: what it is for.

    Raises:
        InputError: it is an address, of a bucket say.
    """
    return str(folder_of(place, name))


def folder_of(place: str | Path, name: str = "store") -> Path:
    """Return the folder that a person has named, absolute.

    Args:
        place: a path, or what was taken for one.
        name: what it is for.

    Raises:
        InputError: it is an address, of a bucket say.
    """
    address = _ADDRESS.match(str(place))
    if address:  # what follows may hold credentials
        raise InputError(
            f"{name} must be a folder: one of this machine, or one that all machines share (NFS, say); buckets and "
            f"other addresses are not supported, got '{address[1]}://…'"
        )
    return Path(place).expanduser().absolute()
