"""A first look at every file of a folder: its content's hash and its header, and the size that follows from them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.listing import shown
from engine.data.parallel import in_order, n_threads
from engine.data.pictures import Header, read_header
from engine.data.progress import counted
from engine.data.wide import PictureError
from engine.errors import InputError

_READERS = 8
"""Threads that read files: a header takes so little that more would wait for Python's lock."""
LISTED = 200
"""How many files an error names; of the rest it tells the number."""


@dataclass
class Survey:
    """What is known of files before they are decoded.

    Attributes:
        digests: {file: SHA-256 of its content}, of all that can be read.
        headers: {file: header of its picture}, of all that are pictures.
        bad: {file: why it can't be used}.
    """

    digests: dict[Path, bytes] = field(default_factory=dict)
    headers: dict[Path, Header] = field(default_factory=dict)
    bad: dict[Path, str] = field(default_factory=dict)


def survey(paths: Sequence[Path]) -> Survey:
    """Return what files say of themselves; bad ones are noted, and raise nothing."""
    found = Survey()
    looks = in_order(_look, paths, threads=min(_READERS, n_threads()))
    for path, (content_digest, header, why_bad) in zip(paths, counted(looks, len(paths), "reading files"), strict=True):
        if content_digest is not None:
            found.digests[path] = content_digest
        if header is not None:
            found.headers[path] = header
        if why_bad is not None:
            found.bad[path] = why_bad
    return found


def _look(path: Path) -> tuple[bytes | None, Header | None, str | None]:
    """Return a file's digest and header as far as it has them, and why it is bad."""
    content_digest = None
    try:
        content = read_content(path)
        content_digest = hashlib.sha256(content).digest()
        return content_digest, read_header(content), None
    except PictureError as error:
        return content_digest, None, str(error)


def read_content(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        PictureError: it can't be read, or is a link to nowhere.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PictureError("a link to a file that does not exist" if path.is_symlink() else "it is gone") from error
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from error


def refuse(bad: Mapping[Path, str], total: int) -> None:
    """Raise ``InputError`` if files are bad: it names them, hundreds at most, and says how many there are."""
    if not bad:
        return
    named = [f"{shown(path)} ({reason})" for path, reason in sorted(bad.items())[:LISTED]]
    more = f", and {len(bad) - LISTED:,} more" if len(bad) > LISTED else ""
    raise InputError(f"{len(bad):,} of {total:,} pictures cannot be used: {', '.join(named)}{more}")


def common_side(headers: Mapping[Path, Header], root: Path) -> int:
    """Return the shorter side in pixels that more than half of the pictures have.

    Raises:
        InputError: no side is that of more than half of them, or it is less than 4.
    """
    sides = Counter(header.side for header in headers.values())
    side, count = min(sides.most_common(), key=lambda item: (-item[1], item[0]))
    ask = "say which to bring all to by data.image_size=SIDE"
    if 2 * count <= len(headers):
        by_count = sorted(sides.items(), key=lambda item: (-item[1], item[0]))
        usual = ", ".join(f"{side} ({n:,} of {len(headers):,})" for side, n in by_count[:3])
        raise InputError(
            f"{shown(root)}: the pictures have many sizes, shorter sides from {min(sides)} to {max(sides)} pixels, "
            f"most often {usual}; {ask}"
        )
    if side < 4:
        raise InputError(f"{shown(root)}: the pictures are {side} pixels wide or high, at least 4 are needed; {ask}")
    return side


def notes_on_fit(headers: Mapping[Path, Header], side: int, channels: int) -> tuple[str, ...]:
    """Return what a person should know of pictures that are brought to one size as networks for ImageNet take them."""
    total = len(headers)
    n_other = sum(header.side != side or not header.is_square for header in headers.values())
    n_changed = sum(header.is_grey != (channels == 1) for header in headers.values())
    notes = []
    if n_other:
        notes.append(
            f"{n_other:,} of {total:,} pictures are resized, their shorter side to {side * 8 // 7} pixels, and their "
            f"central {side} pixels are used (data.image_size)"
        )
    if n_changed:
        become = "coloured and become luma" if channels == 1 else "grey and become r = g = b"
        notes.append(f"{n_changed:,} of {total:,} pictures are {become} (data.channels={channels})")
    return tuple(notes)


def notes_on_shape(headers: Mapping[Path, Header], side: int, channels: int) -> tuple[str, ...]:
    """Return what a person should know of the pictures' form, a sentence each."""
    total = len(headers)
    n_other = sum(header.side != side for header in headers.values())
    n_oblong = sum(not header.is_square for header in headers.values())
    n_grey = sum(header.is_grey for header in headers.values())
    n_long = sum(header.has_more for header in headers.values())
    sides = sorted({header.side for header in headers.values()})
    notes = []
    if n_other and len(sides) > 1:
        notes.append(
            f"{n_other:,} of {total:,} pictures are resized to {side} pixels (data.image_size); their shorter "
            f"sides are from {sides[0]} to {sides[-1]}"
        )
    if n_oblong:
        notes.append(f"{n_oblong:,} of {total:,} pictures are not square: their central square is used")
    if channels == 3 and n_grey:
        notes.append(f"{n_grey:,} of {total:,} pictures are grey and become r = g = b (data.channels=3)")
    if channels == 1 and n_grey < total:
        notes.append(f"{total - n_grey:,} of {total:,} pictures are coloured and become luma (data.channels=1)")
    if n_long:
        notes.append(f"{n_long:,} of {total:,} files have several frames or pages: the first is used")
    return tuple(notes)
