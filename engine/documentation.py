"""What the docstrings of settings classes say of each setting: the one place where settings are explained."""

from __future__ import annotations

import inspect
import re
import types
import typing
from functools import cache
from typing import Any, Literal

_NUMBER = r"-?\d+(?:\.\d+)?(?:\*\*\d+)?"
RANGE = re.compile(rf"≥ \d+(?:\.\d+)?|> \d+(?:\.\d+)?|in [\[(]{_NUMBER}, {_NUMBER}[\])]|one of \d+(?:, \d+)*")
"""How a docstring writes the range of a number."""

_KINDS = {int: "whole number", float: "number", str: "word"}
_EXAMPLES = {int: "1,3", float: "0.4,0.8", str: "fog,frost"}

_ENTRY = re.compile(r"(\w+): (.*)")


@cache
def attribute_texts(cls: type) -> dict[str, str]:
    """Return {attribute: text} of the "Attributes:" in a class's docstring, each text on one line."""
    lines = (inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]).splitlines()
    texts: dict[str, str] = {}
    name = ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip() or indent == 0:
            break
        entry = _ENTRY.match(line.strip()) if indent == 4 else None
        if entry:
            name, texts[entry[1]] = entry[1], entry[2]
        elif name:
            texts[name] += f" {line.strip()}"
    return {attribute: text.replace("``", "`") for attribute, text in texts.items()}


def first_line(cls: type) -> str:
    """Return the first line of a class's docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0].replace("``", "`")


def without_range(text: str) -> str:
    """Return a text without the range of a number, for where that is said beside it."""
    return re.sub(rf",? ?(?:each )?(?:{RANGE.pattern})", "", text, count=1)


def allowed_values(hint: Any, text: str) -> str:
    """Return the values that a declared type and the range in a docstring allow, as a table has them."""
    return _allowed(hint, text)[0]


def must_be(hint: Any, text: str) -> str:
    """Return the same to be read after "must be"."""
    return _allowed(hint, text)[1]


def _allowed(hint: Any, text: str) -> tuple[str, str]:
    """Return what is allowed as a table has it, and as a sentence has it."""
    options = typing.get_args(hint)
    if _or_none(hint):
        in_table, in_sentence = _allowed(_inner(hint), text)
        return f"{in_table}, or none", f"{in_sentence}, or none"
    if typing.get_origin(hint) is Literal:
        names = ", ".join(map(str, options))
        return names, f"one of {names}"
    if hint is bool:
        return "true, false", "true or false"
    bounds = _bounds(text)
    if typing.get_origin(hint) is tuple:
        several = f"{_KINDS[options[0]]}s{bounds}"
        return several, f"{several}, such as {_EXAMPLES[options[0]]}"
    if bounds.startswith(" one of "):
        return bounds.removeprefix(" one of "), bounds.strip()
    one = f"{_KINDS[hint]}{bounds if hint is not str else ''}"
    return one, f"a {one}"


def _or_none(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union


def _inner(hint: Any) -> Any:
    (inner,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    return inner


def _bounds(text: str) -> str:
    """Return the range that a docstring gives, behind a space; "" where it gives none."""
    found = RANGE.search(text)
    return f" {found[0]}" if found else ""
