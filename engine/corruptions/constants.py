"""What the constants of a severity table must be, as far as that can be known without an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import InputError


def checked_constants(
    table: str,
    constants: Mapping[str, Sequence[object]],
    examples: Sequence[Mapping[str, Sequence[object]]],
    n_severities: int,
) -> dict[str, tuple]:
    """Return a table's constants as tuples.

    Args:
        table: its name, for what is said.
        constants: {corruption: what it gets at each severity}.
        examples: the engine's own tables of its corruptions' constants: what others give must have the structure of one
            of them.
        n_severities: how many there must be of each corruption.

    Raises:
        InputError: no corruption, not as many constants, one that is no finite number (or tuple of them), or has
            another structure than the corruption's others.
    """
    if not isinstance(constants, Mapping) or not constants:
        raise InputError(
            f"severity table {table!r} needs constants of at least one corruption, as {{corruption: "
            f"{n_severities} constants}}, got {constants!r}"
        )
    return {
        name: _of_corruption(f"severity table {table!r}", name, values, _forms(name, examples), n_severities)
        for name, values in constants.items()
    }


def _forms(name: str, tables: Sequence[Mapping[str, Sequence[object]]]) -> list[Sequence[object]]:
    """Return the constants of a corruption in the tables that have it, of those that are built alike the first."""
    forms: list[Sequence[object]] = []
    for examples in (table[name] for table in tables if name in table):
        if not any(_has_structure(examples[0], form) for form in forms):
            forms.append(examples)
    return forms


def _of_corruption(
    where: str, name: str, values: object, forms: Sequence[Sequence[object]], n_severities: int
) -> tuple[object, ...]:
    if not isinstance(values, list | tuple):
        raise InputError(f"{where} needs {n_severities} constants of {name!r}, one a severity, got {values!r}")
    if len(values) != n_severities:
        raise InputError(f"{where} needs {n_severities} constants of {name!r}, got {len(values)}")
    found = tuple(_frozen(value) for value in values)
    for severity, value in enumerate(found, start=1):
        allowed = forms or [found[:1]]
        if not _is_finite(value) or not any(_has_structure(value, form) for form in allowed):
            unknown = not forms and severity == 1
            what = "a finite number, a word, or a tuple of them" if unknown else " or ".join(map(_structure, allowed))
            raise InputError(f"{where}: the constant of {name!r} at severity {severity} must be {what}, got {value!r}")
    return found


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    """Return whether a constant is a word, a finite number, or a tuple of such."""
    if isinstance(value, tuple):
        return bool(value) and all(map(_is_finite, value))
    try:
        return isinstance(value, str | bool) or (isinstance(value, int | float) and math.isfinite(value))
    except OverflowError:  # a whole number that no float can hold
        return False


def _has_structure(value: Any, examples: Sequence[Any]) -> bool:
    """Return whether a constant is built as the examples are: numbers, words and tuples in the same places."""
    example = examples[0]
    if isinstance(example, tuple):
        alike = isinstance(value, tuple) and len(value) == len(example)
        return alike and all(map(_has_structure, value, zip(*examples, strict=True)))
    if _is_number(example):
        return _is_number(value)
    return type(value) is type(example) and (len(examples) == 1 or value in examples)


def _structure(examples: Sequence[Any]) -> str:
    """Return what a constant built as the examples are is, in words."""
    example = examples[0]
    if isinstance(example, tuple):
        parts = [_structure(part) for part in zip(*examples, strict=True)]
        if len(set(parts)) == 1:
            return f"a tuple of {len(parts)} finite numbers" if _is_number(example[0]) else f"a tuple of {len(parts)}"
        return f"a tuple ({', '.join(parts)})"
    if _is_number(example):
        return "a finite number"
    return " or ".join(dict.fromkeys(map(repr, examples))) if len(examples) > 1 else f"a {type(example).__name__}"


def checked_names(table: str, what: str, names: object, constants: Mapping[str, object]) -> tuple[str, ...]:
    """Return some of a table's corruptions, each once; all of them for None.

    Raises:
        InputError: no tuple or list of words, or an empty one.
    """
    if names is None:
        return tuple(constants)
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"`{what}` of severity table {table!r} must be a tuple of at least one of its corruptions, got {names!r}"
        )
    return tuple(dict.fromkeys(names))
