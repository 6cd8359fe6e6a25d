"""Text as Markdown shows it word for word: whatever it holds, nothing of it is a heading, a link or a tag."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def escaped(text: str) -> str:
    """Return text in which no sign means anything to Markdown."""
    return _MARKS.sub(r"\\\1", text)
