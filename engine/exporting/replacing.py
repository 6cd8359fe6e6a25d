"""An exported network in place of an older one: the old one stays until the new one is whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from engine.errors import InputError, writing
from engine.exporting.export_folder import FILES
from engine.exporting.exported import read_config


def check_exported(folder: Path) -> None:
    """Check that all that is in a folder was exported into it.

    Raises:
        InputError: it has no exported network, or other files as well.
    """
    read_config(folder)
    others = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
    if others:
        raise InputError(f"only an exported network is replaced, but {folder} has other files as well: {others[0]}")


@contextmanager
def in_place_of(folder: Path) -> Iterator[Path]:
    """Give the path of a new folder, which takes the place of one that is there once it was written.

    Raises:
        InputError: it cannot be written, or put there.
    """
    scratch = partial(tempfile.TemporaryDirectory, prefix=f".{folder.name}-", dir=folder.parent)
    with writing("the network's folder", folder), scratch() as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        yield new
        folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            old.rename(folder)
            raise
