"""The one exception for a caller's mistake, and the sentence that names the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """Something that a person gave is wrong; the message is one sentence for them.

    It says what is wrong, its value and what is allowed. The command line prints it and exits with code 2.

    Attributes:
        refusal: of a setting that has a value that is not allowed: its name, what is allowed, and the value.
    """

    refusal: tuple[str, str, object] | None = None

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of the calls that led here: they say nothing to who mistyped."""
        return [f"error: {self}"]


class DataLimitError(InputError):
    """Settings ask for more images than the data set has; with a smaller number they would do."""


@contextmanager
def writing(what: str, path: str | Path) -> Iterator[None]:
    """Say of what is written meanwhile that it cannot be, where the disk refuses.

    Args:
        what: what is written, to be read before "cannot be written".
        path: where.

    Raises:
        InputError: the disk refuses.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{what} cannot be written: {path} ({error.strerror or error})") from error


class LackingPartError(InputError):
    """A setting names a part that the network does not have; with another value it would do."""


def refused(setting: str, allowed: str, value: object, meaning: str = "") -> InputError:
    """Return the error for a setting's value.

    Args:
        setting: its name.
        allowed: what it must be, to be read after "must be".
        value: what it is.
        meaning: what the setting is, if the name alone may not say it.
    """
    error = InputError(f"`{setting}` must be {allowed}, got {shown(value)}" + (f" ({meaning})" if meaning else ""))
    error.refusal = (setting, allowed, value)
    return error


_LONGEST = 100
"""Letters of a value that an error shows."""


def shown(value: object) -> str:
    """Return a value for an error: one of very many letters or digits by how it begins."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[:40]}… ({len(text):,} letters)"


def unknown_name(kind: str, name: object, known: Iterable[str], *, of: str = "") -> InputError:
    """Return the error for a name that is not known: it lists the known ones and suggests the nearest.

    Args:
        kind: what the name stands for, in the singular ("model", "search space").
        name: the name that was given.
        known: the names that exist.
        of: what the names belong to, with its own name if it has one ("space 'tiny'").
    """
    known = sorted(known)
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    owner = f"{of}: " if of else ""
    return InputError(f"{owner}unknown {kind} {shown(str(name))}{hint}; known: {', '.join(known) or 'none'}")


_IS_SLIP = 0.7
"""Likeness from which on a section's name counts as a misspelt one, in [0, 1]."""


def unknown_setting(path: object, known: Iterable[str], *, of: str = "") -> InputError:
    """Return the error for a setting that is not known: it lists those of its section, for there are very many.

    Of a section that is not there it says that a module may be missing: a stage's settings come with it.

    Args:
        path: the dotted path that was given.
        known: all dotted paths that exist.
        of: what names the setting, as in ``unknown_name``.
    """
    known, path = sorted(known), str(path)
    first, dot, _ = path.partition(".")
    sections = list(dict.fromkeys(other.partition(".")[0] for other in known if "." in other))
    if not dot and first in sections:
        own = ", ".join(other for other in known if other.startswith(f"{first}."))
        return InputError(f"{f'{of}: ' if of else ''}{first!r} is no setting, but what these belong to: {own}")
    if not dot:
        near = [other for other in known if path == other.rpartition(".")[2]]
        others = near or [*sections, *(other for other in known if "." not in other)]
        return unknown_name("setting", path, others, of=of)
    meant = [first] if first in sections else difflib.get_close_matches(first, sections, n=1, cutoff=_IS_SLIP)
    if meant:
        others = [other for other in known if other.startswith(f"{meant[0]}.")]
        return unknown_name("setting", path, others, of=of)
    owner = f"{of}: " if of else ""
    return InputError(
        f"{owner}unknown setting {path!r}: there are no settings of {first!r}, but of {', '.join(sections)}; those of "
        "a stage that a module registers are there once it is given with --import"
    )
