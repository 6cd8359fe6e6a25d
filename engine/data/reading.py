"""From a data set's name to its reader and its images."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from engine.data.dataset import READERS, DataInfo, DataSet, RawData, split_data
from engine.data.official import MissingFilesError
from engine.errors import InputError
from engine.settings import DataSettings

FOLDERS_OWN = ("test_fraction", "value_range", "classes")
"""Settings that most data sets have no use for; a reader names those that it heeds in ``own_settings``."""


class Reader(Protocol):
    """What a registered data set is: made from its argument and the settings, cheap until ``read``.

    It may have ``notes``, sentences on its files that a person should know, and ``own_settings``, the names of settings
    of ``DataSettings`` that it heeds and others don't.
    """

    def fingerprint(self) -> str:
        """Return a content hash of what ``read`` gives."""

    def read(self) -> RawData:
        """Return all images."""


def open_reader(settings: DataSettings, *, download: bool = False) -> Reader:
    """Return the reader of a data set ("digits", "folder:PATH", "mnist").

    Args:
        settings: which, and how it is decoded.
        download: whether its files are fetched first, unless they are there.

    Raises:
        InputError: an unknown name, or what the reader finds wrong before it decodes anything.
    """
    name, _, argument = settings.name.partition(":")
    if name not in READERS and Path(settings.name).is_dir():
        raise InputError(f"unknown data set {settings.name!r}; the images of a folder are folder:{settings.name}")
    reader = READERS[name]
    if download:
        if not hasattr(reader, "download"):
            raise InputError(f"data set {name!r} is not one that can be downloaded")
        reader.download(argument or None)
    for setting in FOLDERS_OWN:
        value = getattr(settings, setting)
        if value is not None and setting not in getattr(reader, "own_settings", ()):
            raise InputError(f"`data.{setting}` means nothing to the data set {name!r}: it must be None, got {value!r}")
    return reader(argument or None, settings)


def outline_data(settings: DataSettings) -> DataInfo | None:
    """Return what a plan needs to know of a published data set whose files are not there; None for any other.

    Raises:
        InputError: an unknown name, settings that cannot be, or whatever else is wrong with the data set.
    """
    try:
        open_reader(settings)
    except MissingFilesError:
        if settings.corruption_files is None and settings.sequence_files is None:
            return READERS[settings.name.partition(":")[0]].outline(settings)
    return None


def load_dataset(settings: DataSettings, *, download: bool = False) -> DataSet:
    """Read a data set and set its splits apart; arguments and errors as of ``open_reader``."""
    return split_data(open_reader(settings, download=download).read(), settings)
