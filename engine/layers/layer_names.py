"""Layers as a person names them: by their own name, by a block that they are in, or by a pattern."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase


def layers_named(word: str, known: Collection[str]) -> list[str]:
    """Return the layers that a word means, in the order in which they are known; none where it means nothing.

    Args:
        word: a layer's name; the name of a module that layers are in ("layer1"); or a pattern with ``*``, ``?`` or
            ``[…]`` of names or of such modules' ("layer*.0.conv1").
        known: the names that there are, as ``named_modules`` has them.
    """
    if word in known:
        return [word]
    if any(sign in word for sign in "*?["):
        return [name for name in known if fnmatchcase(name, word) or fnmatchcase(name, f"{word}.*")]
    return [name for name in known if word and name.startswith(f"{word}.")]
