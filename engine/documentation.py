"""What the docstrings of settings classes say of each setting: the one place where settings are explained."""

from __future__ import annotations

import inspect
import re
from functools import cache

RANGE = re.compile(r"≥ \d+(?:\.\d+)?|> \d+(?:\.\d+)?|in [\[(][^\])]*[\])]|one of \d+(?:, \d+)*")
"""How a docstring writes the range of a number."""

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
