"""Opening a store by what a person, or another process, has named."""

from __future__ import annotations

from pathlib import Path

from engine.store.folder_store import FolderStore
from engine.store.places import folder_of
from engine.store.store import Store


def open_store(place: str | Path, *, read_only: bool = False) -> Store:
    """Return the store in a place.

    Args:
        place: a folder; it is made if it does not exist.
        read_only: whether it is only looked at: nothing is made or tried.

    Raises:
        InputError: it is the address of something else, or cannot be written, or, to be looked at, is not there.
    """
    return kind_of(place)(place, read_only=read_only)


def kind_of(place: str | Path) -> type[FolderStore]:
    """Return the class of the store in a place."""
    folder_of(place)
    return FolderStore
