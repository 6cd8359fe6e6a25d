"""What a user brings along: modules that register more, and settings written as words."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from engine.conversion import as_json
from engine.errors import InputError


def import_modules(names: Iterable[str]) -> None:
    """Import a user's modules, which register what they add.

    Raises:
        InputError: a module that does not exist, or what is no module's name.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"a module to import is given by its name, such as mine or mine.models, got {name!r}")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module exists, and imports something that does not
            raise InputError(
                f"module to import does not exist: {name!r} (the current folder is looked in too)"
            ) from None


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Return {dotted path: value} of "path=value" words; a value is JSON where it can be, else a string.

    Raises:
        InputError: a word without "=".
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"a setting is given as PATH=VALUE, got {assignment!r}")
        settings[path.strip()] = as_json(text)
    return settings
