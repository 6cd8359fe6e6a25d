"""What the command lines share: typed options, and errors as one sentence."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import tyro
from rich.console import Console

from engine.errors import InputError
from engine.orchestration.redaction import hide_credentials

Options = TypeVar("Options")


def run(
    options: type[Options], main: Callable[[Options], int], *, program: str, arguments: Sequence[str] | None
) -> int:
    """Parse the options, call ``main`` and return the exit code.

    It is 2, with one sentence, for a caller's mistake, and 1, with the traceback, for any other error; neither shows
    the credentials that addresses may hold.
    """
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
        print(hide_credentials(f"error: {error}"), file=sys.stderr)
        return 2
    except Exception:  # libraries put addresses into their errors
        print(hide_credentials(traceback.format_exc()), file=sys.stderr, end="")
        return 1


def make_console() -> Console:
    """Return the terminal, or a page wide enough for the tables where the output goes to a file."""
    return Console() if sys.stdout.isatty() else Console(width=120)
