"""What the command lines share: typed options, settings on the command line, errors as one sentence."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from engine.errors import InputError

Options = TypeVar("Options")


def run(options: type[Options], main: Callable[[Options], int], *, program: str, arguments: Sequence[str] | None) -> int:
    """Parse the options, call ``main`` and return the exit code: 2 with one sentence for a caller's mistake."""
    sys.path.insert(0, str(Path.cwd()))  # modules of --import and spaces lie where the command is given
    try:
        parsed = tyro.cli(
            options,
            prog=f"python -m pipelines.{program}",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )
        return main(parsed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Return {dotted path: value} of "path=value" words; a value is JSON where it can be, else a string.

    Raises:
        InputError: a word without "=".
    """
    settings = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"a setting is given as PATH=VALUE, got {assignment!r}")
        try:
            settings[path.strip()] = json.loads({"none": '"none"', "None": "null"}.get(text, text))
        except ValueError:
            settings[path.strip()] = text
    return settings


def import_modules(names: Sequence[str]) -> None:
    """Import a user's modules, which register what they add.

    Raises:
        InputError: a module that does not exist.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise InputError(f"module to import does not exist: {name!r} (looked in the current folder too)") from None
