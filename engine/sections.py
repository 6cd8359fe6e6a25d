"""Sections of the settings beside the engine's own: those that a user's stages bring along.

A study can be read without the modules that its sections came from: what it says of them is then remembered as it
stands, without types.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from engine.conversion import Leaf, build, leaves
from engine.errors import InputError

SECTIONS: dict[str, type] = {}
"""{name: class of the settings} of the sections that were registered."""
_REMEMBERED: dict[str, set[str]] = {}
"""{name: paths within it} of sections that records have and no module has registered."""
_PLAIN = (bool, int, float, str)
_ALLOWED = "a bool, int, float, str, a Literal of words, a tuple[…, ...] of one of these, or one of them or None"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Remembered:
    """What a record says of a section that is not registered: {path within it: value}, as pairs."""

    values: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the section of {path within it: value}."""
        plain = {path: tuple(value) if isinstance(value, list) else value for path, value in values.items()}
        return cls(tuple(sorted(plain.items())))


def register_section(name: str, cls: type, *, taken: Collection[str]) -> None:
    """Make a class of settings a section of every trial's.

    Args:
        name: how the paths of its settings begin ("prune" of "prune.fraction").
        cls: a frozen dataclass, each field with a default, of the types that settings may have; its docstring says
            what each is.
        taken: names of the engine's own sections.

    Raises:
        InputError: no such class, or a name that is taken or no word.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"a section of the settings has a name of small letters, digits and '_', got {name!r}")
    if name in taken:
        raise InputError(f"a section of the settings cannot be called {name!r}: the engine has one of that name")
    known = SECTIONS.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(f"section {name!r} of the settings is already {known.__qualname__} of {known.__module__}")
    if not dataclasses.is_dataclass(cls) or not isinstance(cls, type) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise InputError(f"section {name!r} of the settings must be a frozen dataclass, got {cls!r}")
    try:
        for path, leaf in leaves(cls).items():
            if not _can_be_set(leaf.hint):
                raise InputError(f"setting '{name}.{path}' must be {_ALLOWED}, got the type {leaf.hint}")
        build(cls, dataclasses.asdict(cls()), f"{name}.")  # the defaults are of these types
    except InputError:
        raise
    except Exception as error:  # a field without a default, a type that cannot be found
        raise InputError(f"section {name!r} of the settings: {type(error).__name__}: {error}") from error
    SECTIONS[name] = cls


def _can_be_set(hint: Any) -> bool:
    """Return whether values of a declared type can be given as words and kept as JSON."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        others = [option for option in options if option is not types.NoneType]
        return len(others) == 1 and _can_be_set(others[0])
    if typing.get_origin(hint) is Literal:
        return all(isinstance(option, str) for option in options)
    if typing.get_origin(hint) is tuple:
        return len(options) == 2 and options[0] in _PLAIN and options[1] is Ellipsis
    return hint in _PLAIN


def remember_sections(paths: Collection[str], *, known: Collection[str]) -> None:
    """Take the settings that a record has and nobody has registered as they are.

    Args:
        paths: dotted paths of all of a record's settings.
        known: names of the engine's own sections, and of settings that stand alone.
    """
    for path in paths:
        name, _, within = path.partition(".")
        if within and name not in known and name not in SECTIONS:
            _REMEMBERED.setdefault(name, set()).add(within)


def section_leaves() -> dict[str, Leaf]:
    """Return {dotted path: setting} of all sections that are registered or remembered."""
    found = {
        f"{name}.{path}": Leaf(Remembered, path, object)
        for name, paths in _REMEMBERED.items()
        if name not in SECTIONS
        for path in paths
    }
    for name, cls in SECTIONS.items():
        found |= {f"{name}.{path}": leaf for path, leaf in leaves(cls).items()}
    return found


def is_remembered(name: str) -> bool:
    """Return whether a section is known by a record alone."""
    return name in _REMEMBERED and name not in SECTIONS


def section_tree(section: Any) -> dict[str, Any]:
    """Return a section's settings as nested values."""
    return dict(section.values) if isinstance(section, Remembered) else dataclasses.asdict(section)


def checked_sections(given: Mapping[str, Any] | Collection[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Return sections in the order of their names, without those that are as they are by default.

    Raises:
        InputError: a section that nobody has registered, or that is of another class.
    """
    found: list[tuple[str, Any]] = []
    for name, section in sorted(dict(given).items()):
        if isinstance(section, Remembered):
            found.append((name, section))
            continue
        cls = SECTIONS.get(name)
        if cls is None or not isinstance(section, cls):
            expected = f"must be {cls.__name__}" if cls else "is of no stage that is registered"
            raise InputError(f"section {name!r} of the settings {expected}, got {section!r}")
        if section != cls():
            found.append((name, section))
    return tuple(found)
