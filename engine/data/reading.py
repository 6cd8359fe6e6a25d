"""From a data set's name to its reader and its images."""

from __future__ import annotations

from typing import Protocol

from engine.data.dataset import READERS, DataSet, RawData, split_data
from engine.settings import DataSettings


class Reader(Protocol):
    """What a registered data set is: made from its argument and the settings, cheap until ``read``."""

    def fingerprint(self) -> str:
        """Return a content hash of what ``read`` gives."""

    def read(self) -> RawData:
        """Return all images."""


def open_reader(settings: DataSettings) -> Reader:
    """Return the reader of a data set ("digits", "folder:PATH").

    Raises:
        InputError: an unknown name, or what the reader finds wrong before it decodes anything.
    """
    name, _, argument = settings.name.partition(":")
    return READERS[name](argument or None, settings)


def load_dataset(settings: DataSettings) -> DataSet:
    """Read a data set and set its splits apart."""
    return split_data(open_reader(settings).read(), settings)
