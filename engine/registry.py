"""Named things that a user can add to: one registry a kind, filled by decorators."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from engine.errors import InputError, unknown_name

T = TypeVar("T")
_LONGEST_NAME = 80
_PLACEHOLDER = re.compile(r"\{\w+\}")
"""What stands for a number in the pattern of a family of names."""
_NAME = re.compile(rf"\w[\w.-]{{0,{_LONGEST_NAME - 1}}}")


class Registry(Generic[T]):
    """Names and what they stand for.

    Args:
        kind: what an entry is, in the singular; it appears in error messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds an entry under ``name``.

        Raises:
            InputError: another object has the name already (the same source line again is a reload, and replaces), or
                the name has other signs than letters, digits, "_", "-" and ".": it has to serve in lists, in files'
                names and as a metric's.
        """
        if not _NAME.fullmatch(_PLACEHOLDER.sub("0", name)):
            raise InputError(
                f"a {self.kind}'s name has letters, digits, '_', '-' and '.', at most {_LONGEST_NAME}, got {name!r}"
            )

        def add(entry: T) -> T:
            previous = self._entries.get(name)
            if previous is not None and _origin(previous) != _origin(entry):
                raise InputError(f"{self.kind} {name!r} is already registered by {_origin(previous)}")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> tuple[str, ...]:
        """Return the names in the order of their registration."""
        return tuple(self._entries)

    def source_digest(self, name: str) -> str | None:
        """Return a hash of the module that defines an entry, or None for the engine's own entries.

        A stage whose numbers come from a user's own code has this in its key, so that an edit makes a new artifact.
        """
        return source_digest(self[name])


def source_digest(entry: object) -> str | None:
    """Return a hash of the module that defines a function or class, or None for the engine's own."""
    module_name = getattr(entry, "__module__", "")
    if module_name == "engine" or module_name.startswith("engine."):
        return None
    source = getattr(sys.modules.get(module_name), "__file__", None)
    content = Path(source).read_bytes() if source else module_name.encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _origin(entry: object) -> str:
    """Return where an entry was written: module and qualified name, and the file for what was run as a script."""
    try:
        source = inspect.getsourcefile(entry) or ""  # type: ignore[arg-type]
    except TypeError:
        source = ""
    return f"{getattr(entry, '__qualname__', repr(entry))} in {source or getattr(entry, '__module__', '?')}"
