"""Where a store is, as people name it: a folder, or the address of a place in a bucket."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine.errors import InputError

SERVICES = {"s3": "BUCKET", "gs": "BUCKET", "az": "CONTAINER"}
"""{scheme: what the first word of its addresses names}."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?:/+([^/]*)/*(.*)|$)", re.DOTALL)
"""A path makes s3:/bucket of s3://bucket; a folder's name of one letter is not taken for a scheme (see below)."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/=+-]*")


@dataclass(frozen=True)
class Address:
    """A place in a bucket.

    Attributes:
        scheme: whose bucket: "s3", "gs" (Google's) or "az" (Azure's, where it is called container).
        bucket: its name.
        prefix: what all names of objects there begin with, without "/" at its ends; "" for the whole bucket.
    """

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @classmethod
    def parse(cls, text: str | Path, name: str = "store") -> Self | None:
        """Return the address that a text is, or None if it is a path.

        Raises:
            InputError: it is another address, or one with credentials in it.
        """
        found = _ADDRESS.fullmatch(str(text))
        if found is None or len(found[1]) == 1:
            return None
        scheme, bucket, prefix = found[1].lower(), found[2] or "", (found[3] or "").rstrip("/")
        kinds = ", ".join(f"{known}://{what}/PREFIX" for known, what in SERVICES.items())
        if scheme not in SERVICES:
            near = difflib.get_close_matches(scheme, SERVICES, n=1, cutoff=0.5)
            meant = f" (did you mean {near[0]}://…?)" if near else ""
            raise InputError(f"{name} must be a folder or one of {kinds}, got '{found[1]}://…'{meant}")
        if "@" in bucket:  # what follows may hold credentials, and is not shown
            raise InputError(f"{name} must name no credentials, which belong into the environment, got '{scheme}://…'")
        if not _BUCKET.fullmatch(bucket):
            raise InputError(
                f"{name} must name a bucket of at least three letters, digits, '-', '_' and '.', all small "
                f"({kinds}), got '{scheme}://{bucket}'"
            )
        if not _PREFIX.fullmatch(prefix) or {"", ".", ".."} & set(prefix.split("/") if prefix else ()):
            raise InputError(
                f"{name} must have a prefix of letters, digits and signs such as '-', '_', '.' and '/', got {prefix!r}"
            )
        return cls(scheme, bucket, prefix)


def place_of(place: str | Path, name: str = "store") -> str:
    """Return what ``open_store`` opens of what a person has named: a folder's absolute path, or an address.

    Args:
        place: a path, or an address, also one that was taken for a path.
        name: what it is for.

    Raises:
        InputError: it is the address of something that is no bucket.
    """
    address = Address.parse(place, name)
    return str(address or folder_of(place, name))


def folder_of(place: str | Path, name: str = "store") -> Path:
    """Return the folder that a person has named, absolute.

    Args:
        place: a path, or what was taken for one.
        name: what it is for.

    Raises:
        InputError: it is an address, of a bucket say.
    """
    found = _ADDRESS.match(str(place))
    if found is not None and len(found[1]) > 1:  # what follows may hold credentials
        raise InputError(
            f"{name} must be a folder, one of this machine or one that all machines share (NFS, say), got "
            f"'{found[1]}://…'"
        )
    return Path(place).expanduser().absolute()
