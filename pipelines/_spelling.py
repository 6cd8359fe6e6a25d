"""What a command's words are called: a misspelt option or command is refused before anything else is asked for."""

from __future__ import annotations

import dataclasses
import shlex
import types
import typing
from collections.abc import Sequence
from typing import Any

import tyro

from engine.errors import InputError, unknown_name

_OF_EVERY_COMMAND = ("--help", "--tyro-print-completion", "--tyro-write-completion")
_WITHOUT_A_FLAG = typing.get_args(tyro.conf.Positional[str])[1]


def check_words(options: type, words: Sequence[str]) -> None:
    """Check that a command has the options that it is given, and the command within it.

    Args:
        options: the command's options, a dataclass.
        words: behind the command's name.

    Raises:
        InputError: an option that there is not, or a command within this one, or a setting that no ``--set`` is before.
    """
    within = _commands_within(options)
    if within:
        command = next((word for word in words if not word.startswith("-")), None)
        if command is None:
            return
        if command not in within:
            raise unknown_name("command", command, within)
        options = within[command]
    known = _flags(options)
    first = words[0] if words else ""
    if "--set" in known and "=" in first and not first.startswith("-"):
        raise InputError(f"a setting stands behind --set, got {first!r}: --set {shlex.quote(first)}")
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag != "--" and flag not in (*known, *_OF_EVERY_COMMAND):
            raise unknown_name("option", word.partition("=")[0], known)


def _commands_within(options: type) -> dict[str, type]:
    """Return {name: options} of the commands that a command consists of; none for most."""
    found: dict[str, type] = {}
    for hint in typing.get_type_hints(options, include_extras=True).values():
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            for one in typing.get_args(hint):
                if typing.get_origin(one) is typing.Annotated and isinstance(one.__origin__, type):
                    found[one.__metadata__[0].name] = one.__origin__
    return found


def _flags(options: Any) -> list[str]:
    """Return how a command's options are typed."""
    hints = typing.get_type_hints(options, include_extras=True)
    found = []
    for item in dataclasses.fields(options):
        given = getattr(hints[item.name], "__metadata__", ())
        if _WITHOUT_A_FLAG in given:
            continue
        names = [name for name in (getattr(one, "name", None) for one in given) if name]
        found.append(f"--{names[0] if names else item.name.replace('_', '-')}")
    return found
