"""What a user brings along: modules that register more, and settings written as words."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from engine.conversion import as_json
from engine.errors import InputError


def import_modules(names: Iterable[str]) -> None:
    """Import a user's modules, which register what they add.

    Raises:
        InputError: a module that does not exist, or fails, or what is no module's name.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"a module to import is given by its name, such as mine or mine.models, got {name!r}")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise _fails(name, error) from error  # it exists, and imports something that does not
            raise InputError(
                f"module to import does not exist: {name!r} (the current folder is looked in too)"
            ) from None
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever is in it
            raise _fails(name, error) from error


def _fails(name: str, error: BaseException) -> InputError:
    """Return the error for a module that cannot be imported: where it fails, and how."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    where = f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""
    return InputError(f"module to import {name!r} fails{where}: {type(error).__name__}: {error}")


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Return {dotted path: value} of "path=value" words; a value is JSON where it can be, else a string.

    Raises:
        InputError: a word without "=", or two values of one setting.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"a setting is given as PATH=VALUE, got {assignment!r}")
        path, value = path.strip(), as_json(text)
        if path in settings and settings[path] != value:
            raise InputError(f"setting {path!r} has two values, got {settings[path]!r} and {value!r}")
        settings[path] = value
    return settings


def chosen_data(dataset: str | None, classes: Sequence[str]) -> dict[str, Any]:
    """Return {dotted path: value} of what options of their own say of the data, as far as they are given.

    Args:
        dataset: its name; None if it is not given.
        classes: of a folder's those that are used; none if they are not given.
    """
    named = {} if dataset is None else {"data.name": dataset}
    return named | ({"data.classes": tuple(classes)} if classes else {})
