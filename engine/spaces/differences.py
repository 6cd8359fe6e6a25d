"""How two spaces differ, in words: for whoever goes on with a study and meets another space than it was made with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.explanation import as_typed

_MOST = 4
"""Differences that are told; of more, how many there are."""


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return in a line how a space differs from an earlier one, "" where it does in nothing that decides trials.

    Args:
        before: the earlier space's JSON; a record may lack what later versions have, or have more.
        after: the other's, as of ``Space.to_json``.
    """
    found = list(_found(before, after))
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _found(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield from _settings("", before["base"], after["base"])
    if before["n_seeds"] != after["n_seeds"]:
        yield f"seeds: {before['n_seeds']} before, {after['n_seeds']} now"
    arms = {arm["name"]: arm for arm in before["arms"]}, {arm["name"]: arm for arm in after["arms"]}
    for name in _in_order(*arms):
        first, second = (of.get(name) for of in arms)
        if first is None or second is None:
            yield _of_one(f"arm {name!r}", first)
            continue
        yield from _settings(f"arm {name!r}: ", first["settings"], second["settings"])
        if first["control"] != second["control"]:
            yield f"arm {name!r}: {'a control before, none now' if first['control'] else 'a control now'}"
    axes = {axis["label"]: axis for axis in before["axes"]}, {axis["label"]: axis for axis in after["axes"]}
    for label in _in_order(*axes):
        first, second = (of.get(label) for of in axes)
        if first is None or second is None:
            yield _of_one(f"axis {label!r}", first)
        elif first != second:
            yield f"axis {label!r}: {', '.join(_changed(first, second))}"
    for part in ("comparisons", "ablations"):
        if before.get(part, []) != after.get(part, []):
            yield f"other {part}"


def _settings(of: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for path in _in_order(before, after):
        if before.get(path, _NOTHING) != after.get(path, _NOTHING):
            first, second = (as_typed(some[path]) if path in some else "not set" for some in (before, after))
            yield f"{of}{path} {first} before, {second} now"


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in _in_order(before, after):
        if before.get(name) != after.get(name):
            yield f"{name} {_value(before.get(name))} before, {_value(after.get(name))} now"


def _value(value: Any) -> str:
    return "|".join(map(as_typed, value)) if isinstance(value, list) else str(value)


def _of_one(what: str, before: object) -> str:
    return f"{what}: new" if before is None else f"{what}: no more"


def _in_order(*some: Iterable[str]) -> list[str]:
    """Return names, each once, as they come."""
    return list(dict.fromkeys(name for names in some for name in names))


_NOTHING = object()
