"""Text as Markdown shows it word for word: whatever it holds, nothing of it is a heading, a link or a tag."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~$&@]|:(?=//)|(?<=www)\.)")
"""Signs that mean something wherever they stand: those of addresses, too, which become links by themselves."""
_STARTS = re.compile(r"^(\s*\d*)([-+=.)])(?=[\s=-]|$)", re.MULTILINE)
"""What makes a list, a line or a heading at the beginning of a line: "- ", "1. ", "==="."""


def escaped(text: str) -> str:
    """Return text in which no sign means anything to Markdown."""
    return _STARTS.sub(r"\1\\\2", _MARKS.sub(r"\\\1", text))
