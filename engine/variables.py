"""The environment's variables that stand for options: what a cluster's file has set once is not typed again.

An option that is given wins. One without a word takes what its variable says, if that is set and not empty.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.conversion import home_found
from engine.errors import InputError
from engine.redaction import hide_credentials

VARIABLE = "variable"
"""In a field's metadata: the variable that stands for the option."""
_OTHERWISE = "otherwise"
"""In a field's metadata: the option's default where the variable is not set."""
_LEAST_MENTIONED = 3
"""Letters that a value must have, to be recognised in an error."""

HOME = "ROBUSTUNE_HOME"
STORE = "ROBUSTUNE_STORE"
STORAGE = "ROBUSTUNE_STORAGE"
TRACKING = "MLFLOW_TRACKING_URI"
CLUSTER = "RAY_ADDRESS"
SLOTS = "ROBUSTUNE_SLOTS"
CPUS_PER_SLOT = "ROBUSTUNE_CPUS_PER_SLOT"
GPUS_PER_SLOT = "ROBUSTUNE_GPUS_PER_SLOT"
NAMES = (HOME, STORE, STORAGE, TRACKING, CLUSTER, SLOTS, CPUS_PER_SLOT, GPUS_PER_SLOT)


def path(text: str) -> Path:
    """Return a path, with "~" replaced by the home folder."""
    return home_found(Path(text))


_KINDS: Mapping[Callable[[str], Any], str] = {int: "a whole number", float: "a number"}


def or_variable(name: str, parse: Callable[[str], Any] = str, otherwise: Any = None) -> Any:
    """Return the field of an option's class whose default is what a variable of the environment says.

    Args:
        name: the variable.
        parse: makes the option's value of its text; a ValueError is the caller's mistake.
        otherwise: the default where it is not set.
    """

    def default() -> Any:
        text = os.environ.get(name, "").strip()
        if not text:
            return otherwise
        try:
            return parse(text)
        except ValueError:
            what = _KINDS.get(parse, "a value that the option takes")
            raise InputError(f"{name} of the environment must be {what}, got {hide_credentials(text)!r}") from None

    return dataclasses.field(default_factory=default, metadata={VARIABLE: name, _OTHERWISE: otherwise})


def default_of(item: dataclasses.Field) -> Any:
    """Return an option's default, whatever the environment says; ``dataclasses.MISSING`` where it has none."""
    return item.metadata.get(_OTHERWISE, item.default)


def with_variable(item: dataclasses.Field, text: str) -> str:
    """Return what an option's help says, with the variable that stands for it."""
    name = item.metadata.get(VARIABLE)
    return f"{text} The variable {name} stands for it." if name else text


def source_of(options: Any, name: str) -> str:
    """Return the variable that an option's value comes from; "" for none.

    An option that was given, and is what its variable says, counts as from there.
    """
    (item,) = [item for item in dataclasses.fields(options) if item.name == name]
    variable = item.metadata.get(VARIABLE)
    if not variable or not os.environ.get(variable, "").strip():
        return ""
    assert callable(item.default_factory)
    return variable if item.default_factory() == getattr(options, name) else ""


def called(options: Any, name: str) -> str:
    """Return what a person knows an option's value by: the flag, or the variable that it comes from."""
    return source_of(options, name) or f"--{name.replace('_', '-')}"


def mention(text: str, words: Iterable[str]) -> str:
    """Return an error with the variable that its value comes from, where the command line does not have it.

    Args:
        text: the error, in a sentence.
        words: the command line.
    """
    given = " ".join(words)
    for name in NAMES:
        value = os.environ.get(name, "").strip()
        shown = (hide_credentials(value), f"'{value.partition(':')[0]}://…'")  # as errors tell an address
        if len(value) >= _LEAST_MENTIONED and name not in text + given and value not in given and _has(text, shown):
            return f"{text} (which {name} of the environment says)"
    return text


def _has(text: str, parts: Iterable[str]) -> bool:
    return any(part in text for part in parts)
