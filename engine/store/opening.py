"""Opening a store by what a person, or another process, has named."""

from __future__ import annotations

from pathlib import Path

from engine.store.bucket_store import BucketStore
from engine.store.folder_store import FolderStore
from engine.store.places import Address
from engine.store.store import Store


def open_store(place: str | Path, *, read_only: bool = False, patient: bool = False) -> Store:
    """Return the store in a place.

    Args:
        place: a folder, which is made if it does not exist, or an address such as ``s3://BUCKET/PREFIX``.
        read_only: whether it is only looked at: no folder is made, nothing tried; in a bucket a probe of its clock
            may be written.
        patient: whether a bucket that does not answer is waited for, as it is in the midst of a sweep; a person who has
            just named it hears of that at once.

    Raises:
        InputError: it is the address of something else, or cannot be written, or, to be looked at, is not there.
    """
    if kind_of(place) is BucketStore:
        return BucketStore(place, read_only=read_only, patient=patient)
    return FolderStore(place, read_only=read_only)


def kind_of(place: str | Path) -> type[FolderStore | BucketStore]:
    """Return the class of the store in a place."""
    return FolderStore if Address.parse(place) is None else BucketStore
