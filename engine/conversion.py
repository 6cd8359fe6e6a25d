"""Between nested settings classes and JSON: dotted paths, and values checked against their declared types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from engine.errors import InputError, unknown_name


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


@cache
def type_hints(cls: type) -> dict[str, Any]:
    """Return the declared types of a class; working them out takes longer than everything else here."""
    return typing.get_type_hints(cls)


@cache
def leaf_types(cls: type) -> dict[str, Any]:
    """Return {dotted path: declared type} of the settings of a class and of those within it."""
    types: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        hint = type_hints(cls)[item.name]
        if dataclasses.is_dataclass(hint):
            types |= {f"{item.name}.{path}": inner for path, inner in leaf_types(hint).items()}  # type: ignore[arg-type]
        else:
            types[item.name] = hint
    return types


def build(cls: type, values: Mapping[str, Any], path: str = "") -> Any:
    """Make a settings class from nested values, each checked against its declared type."""
    hints = type_hints(cls)
    known = [item.name for item in dataclasses.fields(cls)]
    arguments = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name("setting", path + name, [path + other for other in known])
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            arguments[name] = build(hint, value, f"{path}{name}.")  # type: ignore[arg-type]
        else:
            arguments[name] = convert(value, hint, path + name)
    return cls(**arguments)


def convert(value: Any, hint: Any, path: str) -> Any:
    """Return a value as its declared type has it, or say what would be allowed."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in options:
            return None
        (hint,) = (option for option in options if option is not type(None))
        return convert(value, hint, path)
    if origin is Literal:
        if value not in options:
            raise InputError(f"`{path}` must be one of {', '.join(map(str, options))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"`{path}` must be a list, got {value!r}")
        return tuple(convert(item, options[0], path) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return as_written(float(value))
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise InputError(f"`{path}` must be of type {hint.__name__}, got {value!r}")
    return value
