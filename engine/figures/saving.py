"""Figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.figures.lettering import as_written

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # slow to import, and only who draws needs it


def require_folder(path: Path, what: str) -> None:
    """Raise ``InputError`` unless the folder that a file goes into exists, and no folder has the file's own name."""
    if not path.parent.is_dir():
        raise InputError(f"{what}'s folder does not exist: {path.parent}")
    if path.is_dir():
        raise InputError(f"{what} must be a file, got a folder: {path}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; raises ``InputError`` where that cannot be."""
    as_written(figure)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:  # ValueError: a format that matplotlib does not know
        raise InputError(f"the figure cannot be written: {path} ({error})") from error
