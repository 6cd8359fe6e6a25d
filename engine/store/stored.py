"""What lies in a store under a key: artifacts and checkpoints as the clean-up sees them, and what a key is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.store.artifact import Artifact

USE_NOTED_S = 60.0
"""How old the note of an artifact's last use may be before another use renews it."""
ABANDONED = "abandoned"
"""What lies beside a stage's checkpoints and says that nobody wants it."""
_KEY = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class Stored:
    """An artifact as the clean-up sees it.

    Attributes:
        key: its key.
        n_bytes: size of its files.
        used_at: when it was last used, to the minute, in seconds since 1970.
        artifact: itself; None where its manifest cannot be read.
    """

    key: str
    n_bytes: int
    used_at: float
    artifact: Artifact | None


@dataclass(frozen=True)
class Unfinished:
    """The checkpoints of a stage that nobody is at.

    Attributes:
        key: the stage's.
        name: where they are, seen from the store.
        n_bytes: size of their files.
        written_at: when the last one was written, in seconds since 1970.
        abandoned: whether the stage was stopped because nobody wanted it.
    """

    key: str
    name: str
    n_bytes: int
    written_at: float
    abandoned: bool


def is_key(name: str) -> bool:
    """Return whether a name is a key of artifacts."""
    return _KEY.fullmatch(name) is not None


def valid_key(key: str) -> str:
    """Return a key.

    Raises:
        ValueError: it is none.
    """
    if not is_key(key):
        raise ValueError(f"a key is 16 to 64 hexadecimal digits, got {key!r}")
    return key
