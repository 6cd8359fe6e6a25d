"""Between nested settings classes and JSON: dotted paths, and values checked against their declared types."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Literal

from engine.documentation import attribute_texts, must_be, without_range
from engine.errors import InputError, refused, unknown_name

BY_OTHER_PATHS = "by other paths"
"""Marks a field of a settings class whose contents have paths that do not begin with its name."""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {dotted path: value} of nested mappings, tuples as lists."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def as_written(number: float) -> float:
    """Return a number as a person would write it: 0.3 for what 0.1 + 2 · 0.1 comes to, which is 0.30000000000000004.

    A number whose digits go on, such as 1/3, is what it is.
    """
    shorter = float(f"{number:.15g}")
    return shorter if len(repr(shorter)) <= len(repr(number)) - 3 else number


_FINITE, _COUNTABLE = "a number below 1.8e308", "a whole number below 2**63"
_LARGEST_INT = 2**63 - 1
"""What files, databases and torch have room for."""


@cache
def type_hints(cls: type) -> dict[str, Any]:
    """Return the declared types of a class; working them out takes longer than everything else here."""
    return typing.get_type_hints(cls)


@dataclass(frozen=True)
class Leaf:
    """A setting within nested settings classes.

    Attributes:
        owner: the class that has it.
        name: its name there.
        hint: its declared type.
    """

    owner: type
    name: str
    hint: Any

    @property
    def meaning(self) -> str:
        """Return what the setting is, in short."""
        return re.split(r"[;.](?: |$)", without_range(self._text))[0]

    @property
    def allowed(self) -> str:
        """Return which values it may have, to be read after "must be"."""
        return must_be(self.hint, self._text)

    @property
    def _text(self) -> str:
        return attribute_texts(self.owner).get(self.name, "")


def settings_fields(cls: type) -> list[dataclasses.Field]:
    """Return the fields of a settings class that are settings, or hold some, by their names."""
    return [item for item in dataclasses.fields(cls) if not item.metadata.get(BY_OTHER_PATHS)]


@cache
def leaves(cls: type) -> dict[str, Leaf]:
    """Return {dotted path: setting} of a class and of those within it."""
    found: dict[str, Leaf] = {}
    for item in settings_fields(cls):
        hint = type_hints(cls)[item.name]
        if dataclasses.is_dataclass(hint):
            found |= {f"{item.name}.{path}": leaf for path, leaf in leaves(hint).items()}  # type: ignore[arg-type]
        else:
            found[item.name] = Leaf(cls, item.name, hint)
    return found


def build(cls: type, values: Mapping[str, Any], path: str = "") -> Any:
    """Make a settings class from nested values, each checked against its declared type."""
    hints = type_hints(cls)
    known = [item.name for item in settings_fields(cls)]
    arguments = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name("setting", path + name, [path + other for other in known])
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            arguments[name] = build(hint, value, f"{path}{name}.")  # type: ignore[arg-type]
        else:
            arguments[name] = convert_setting(Leaf(cls, name, hint), value, path + name)
    try:
        return cls(**arguments)
    except InputError as error:
        if error.refusal is None:
            raise
        name = error.refusal[0].rpartition(".")[2]
        raise _explained(error, Leaf(cls, name, hints.get(name)), path + name) from None


def convert_setting(leaf: Leaf, value: Any, path: str) -> Any:
    """Return a setting's value as its declared type has it, or say what would be allowed and what the setting is."""
    if value in ("none", "None") and type(None) in typing.get_args(leaf.hint):
        return None
    try:
        return convert(value, leaf.hint, path)
    except InputError as error:
        if error.refusal is None:
            raise
        _, allowed, given = error.refusal
        has_end = any(words in leaf.allowed for words in ("one of", ", 2**"))
        said = allowed if allowed == _FINITE or (allowed == _COUNTABLE and not has_end) else leaf.allowed
        raise refused(path, said, given, leaf.meaning) from None


def _explained(error: InputError, leaf: Leaf, path: str) -> InputError:
    """Return the error for a setting's value with its whole path, and what it is."""
    if error.refusal is None:
        return error
    _, allowed, value = error.refusal
    return refused(path, allowed, value, leaf.meaning)


def convert(value: Any, hint: Any, path: str) -> Any:
    """Return a value as a declared type has it, or say what would be allowed."""
    if hint is object:  # of a record whose types are not known
        return value
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (option for option in options if option is not type(None))
        if value is None:
            return None
        return convert(value, inner, path)
    if origin is Literal:
        if type(value) is int and str(value) in options:  # a word of digits, as one types it
            return str(value)
        if value not in options:
            raise refused(path, f"one of {', '.join(map(str, options))}", value)
        return value
    if origin is tuple:
        return tuple(convert(item, options[0], path) for item in _listed(value, options[0], path))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return as_written(float(value))
        except OverflowError:
            raise refused(path, _FINITE, value) from None
    if hint is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if hint is int and type(value) is int and abs(value) > _LARGEST_INT:
        raise refused(path, _COUNTABLE, value)
    if hint is Path and isinstance(value, str | PurePath):
        return home_found(Path(value))
    if hint is str and isinstance(value, PurePath):
        return str(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise refused(path, f"of type {hint.__name__}", value)
    return value


def home_found(path: Path) -> Path:
    """Return a path with the "~" that a shell leaves alone, as in ``--home=~/runs``, replaced by the home folder.

    Raises:
        InputError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(f"path {str(path)!r} is of a user that cannot be found: {error}") from None


def _listed(value: Any, kind: type, path: str) -> Sequence[Any]:
    """Return the elements of a list, also of one that is typed as words: "fog,frost", "[1, 3]", or one element."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        raise refused(path, "a list such as 1,3 or fog,frost", value)
    return words_of(value) if kind is str else [as_json(word) for word in words_of(value)]


def words_of(text: str) -> list[str]:
    """Return the elements of a list that is typed as words."""
    words = [word.strip().strip("'\"") for word in text.strip().removeprefix("[").removesuffix("]").split(",")]
    return [word for word in words if word]


_AS_PEOPLE_TYPE = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?")
"""Numbers that JSON would have otherwise: .5, 5., +0.5."""


def as_json(word: str) -> Any:
    """Return what a word means: a number, true, false, null or JSON of any kind, else the word itself."""
    try:
        return json.loads({"None": "null", "True": "true", "False": "false"}.get(word, word))
    except ValueError:
        return float(word) if _AS_PEOPLE_TYPE.fullmatch(word.strip()) else word
