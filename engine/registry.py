"""Named things that a user can add to: one registry a kind, filled by decorators."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

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
        self._origins: dict[str, str] = {}
        self._sources: dict[str, str | None] = {}

    def register(self, name: str, *, made_by: object = None) -> Callable[[T], T]:
        """Return a decorator that adds an entry under ``name``.

        Args:
            name: the entry's name.
            made_by: the user's function or class, where the entry is a value that only holds it.

        Raises:
            InputError: another object has the name already (the same source line again is a reload, and replaces), or
                the name has other signs than letters, digits, "_", "-" and ".": it has to serve in lists, in files'
                names and as a metric's.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(_PLACEHOLDER.sub("0", name)):
            raise InputError(
                f"a {self.kind}'s name has letters, digits, '_', '-' and '.', at most {_LONGEST_NAME}, got {name!r}"
            )
        module = _registering_module()

        def add(entry: T) -> T:
            written = entry if made_by is None else made_by
            previous, origin = self._origins.get(name), _origin(written)
            if previous is not None and previous != origin:
                raise InputError(f"{self.kind} {name!r} is already registered by {previous}")
            self._entries[name] = entry
            self._origins[name] = origin
            self._sources[name] = source_digest(written, module)
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

    def items(self) -> Iterator[tuple[str, T]]:
        """Return the names with their entries."""
        return iter(self._entries.items())

    def names(self) -> tuple[str, ...]:
        """Return the names in the order of their registration."""
        return tuple(self._entries)

    def source_digest(self, name: str) -> str | None:
        """Return a hash of the code that an entry comes from, as it was registered; None for the engine's own entries.

        A stage whose numbers come from a user's own code has this in its key, so that an edit makes a new artifact.
        """
        _ = self[name]
        return self._sources[name]


def source_digest(entry: object, registered_in: Mapping[str, Any] | None = None) -> str | None:
    """Return a hash of the code that a function or class comes from, or None for the engine's own.

    That is the module that defines it, the one that registers it, and what these import from the user's own files
    (see ``engine.sources``).

    Args:
        entry: the function or class.
        registered_in: the global names of the module that registers it.
    """
    modules = [names for names in (_defined_in(entry), registered_in) if names is not None and not _is_engine_s(names)]
    if not modules:
        return None
    from engine.sources import SourceFile, digest_of_sources, is_users_own  # here: the engine's own need no parser

    places = [(_name_of(names), Path(names.get("__file__") or "").resolve()) for names in modules]
    files = [SourceFile(name, path) for name, path in places if path.is_file()]
    own = [file for file in files if is_users_own(file.path)] or files[-1:]  # of what is installed, who registers it
    return digest_of_sources(own) if own else hashlib.sha256(_text_of(entry).encode()).hexdigest()[:16]


def _defined_in(entry: object) -> Mapping[str, Any] | None:
    """Return the global names of the module that defines a function or class, if it is known."""
    module = sys.modules.get(getattr(entry, "__module__", None) or "")
    if module is not None:
        return vars(module)
    return getattr(entry, "__globals__", None)  # a file that was run without becoming a module, as a space's is


def _is_engine_s(names: Mapping[str, Any]) -> bool:
    return str(names.get("__name__")).partition(".")[0] == "engine"


def _name_of(names: Mapping[str, Any]) -> str:
    """Return a module's name, also of one that is run as a script."""
    specification = names.get("__spec__") if names["__name__"] == "__main__" else None
    return specification.name if specification is not None else names["__name__"]


def _registering_module() -> Mapping[str, Any]:
    """Return the global names of the module that calls a ``register_…`` function, whichever it goes through."""
    frame = sys._getframe(2)
    while _is_engine_s(frame.f_globals) and frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals


def _text_of(entry: object) -> str:
    """Return what was typed at a prompt; of what is written in C the name alone."""
    try:
        return inspect.getsource(entry)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return f"{getattr(entry, '__module__', '')}.{getattr(entry, '__qualname__', '')}"


def _origin(entry: object) -> str:
    """Return where an entry was written: module and qualified name, and the file for what was run as a script."""
    try:
        source = inspect.getsourcefile(entry) or ""  # type: ignore[arg-type]
    except TypeError:
        source = ""
    return f"{getattr(entry, '__qualname__', repr(entry))} in {source or getattr(entry, '__module__', '?')}"
