"""Claims: files by which one of several contenders holds a place, and no more than one.

Of any number of contenders one gets a place, on a disk of this machine and on NFS alike. An empty place is taken by a
hard link, which only one can make, and which comes with all that is in the file. A stale claim is replaced, or removed,
only by who has the *right to end* that very claim: a file beside it, named by a hash of the claim's token, and taken in
the same way. Who has it makes sure that the stale claim is still there, and renames the right onto it: so nobody
replaces a claim that he has not seen, however long ago he looked. A right whose taker died is a stale claim itself, and
is taken over like one. What remains is a process that stands still for over ``DEAD_S`` between two of these steps.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.store.holders import Holder

DEAD_S = 60.0
"""How long a claim may go without being touched before it counts as left."""
_N_TRIES = 5
"""How often a place is tried that others free, or take, just while it is."""
_TOKEN = re.compile(r"[0-9a-f]{32}")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""How a disk answers that has no hard links."""


@dataclass(frozen=True)
class Claim:
    """What a file in a place says, and its age.

    Attributes:
        token: tells this claim from any other; made of the file's place on the disk where it says none.
        holder: who made it; None where the file could not be read.
        note: what the holder says of its work.
        is_fresh: whether it was touched in the last ``DEAD_S``.
    """

    token: str
    holder: Holder | None
    note: Mapping[str, Any]
    is_fresh: bool

    @property
    def is_live(self) -> bool:
        """Return whether its holder is taken to live."""
        return self.is_fresh and (self.holder is None or not self.holder.is_gone)


def look(path: Path) -> Claim | None:
    """Return the claim in a place, or None where there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:  # age and content of one file, not of one and of that which took its place
            state = os.fstat(file.fileno())
            text = file.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):  # NFS: removed on another machine
            return None
        raise
    is_fresh = time.time() - state.st_mtime <= DEAD_S
    try:
        content = json.loads(text)
        holder, note = Holder(**content["holder"]), dict(content["note"])
        if _TOKEN.fullmatch(holder.token):
            return Claim(holder.token, holder, note, is_fresh)
    except (KeyError, TypeError, ValueError):
        pass
    return Claim(f"{state.st_ino}-{state.st_mtime_ns}", None, {}, is_fresh)


def take(path: Path, scratch: Path, token: str) -> bool:
    """Put a claim into a place that is empty or whose claim is stale; return whether it is there now.

    Args:
        path: the place.
        scratch: a file beside it with the claim, which is used up if it is moved.
        token: of the claim.

    Raises:
        OSError: no file can be made here.
    """
    for _ in range(_N_TRIES):
        if _link(scratch, path):
            return True
        found = look(path)
        if found is None:
            continue  # it was freed in this moment
        if found.token == token:
            return True  # over NFS a link may be made, and its confirmation lost
        if found.is_live:
            return False
        right = right_to_end(path, found.token)
        if not take(right, scratch, token):
            return False
        if _is_there(path, found.token):
            right.replace(path)
            return True
        right.unlink()  # others have ended that claim since it was read
    return False


def end(path: Path, token: str) -> bool:
    """Remove a claim, unless it is another by now; return whether it was removed."""
    own = Holder.this_process()
    right = right_to_end(path, token)
    with contextlib.suppress(OSError), written(path, content_of(own, {})) as scratch:
        if not take(right, scratch, own.token):
            return False
    try:  # also where the disk is full: it makes no file, but removes one
        there = _is_there(path, token)
        if there:
            path.unlink()
        return there
    finally:
        if _is_there(right, own.token):
            right.unlink()


def right_to_end(path: Path, token: str) -> Path:
    """Return the place that is taken by who may end a claim in another place."""
    return path.with_name("." + hashlib.sha256(f"{path.name} {token}".encode()).hexdigest()[:32])


def _is_there(path: Path, token: str) -> bool:
    found = look(path)
    return found is not None and found.token == token


def _link(scratch: Path, path: Path) -> bool:
    """Give a file another name, unless that is taken; return whether it was free."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _copy(scratch, path)
    return True


def _copy(scratch: Path, path: Path) -> bool:
    """Do what ``_link`` does on a disk without links: others may see the file before all is in it."""
    try:
        file = path.open("x")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(scratch.read_text())
    except OSError:
        path.unlink(missing_ok=True)  # a disk that is full takes a file's name, but not what is in it
        raise
    return True


@contextlib.contextmanager
def written(path: Path, text: str) -> Iterator[Path]:
    """Give a file with a text beside a place, whose folder is made; it is removed unless it was moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{uuid.uuid4().hex}.new")
    try:
        scratch.write_text(text)
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def content_of(holder: Holder, note: Mapping[str, Any]) -> str:
    """Return the text of a claim."""
    return json.dumps({"holder": asdict(holder), "note": dict(note)})
