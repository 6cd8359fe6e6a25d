"""The network to take home: ``python -m pipelines.export``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from engine import variables
from engine.extensions import import_modules
from engine.orchestration import export
from engine.report.terminal import make_console, say
from pipelines._command_line import run
from pipelines._progress import waiting


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write a study's network into a folder: weights, settings and errors, and programs that run without this project.

    Nothing is computed and nothing in study or store is changed; a sweep may be running meanwhile.

    Example: python -m pipelines.export --study NAME --output network
    """

    study: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """Name of the study."""
    what: Annotated[str, tyro.conf.arg(metavar="WHAT")] = "winner"
    """winner, arm:NAME or trial:N. Of several seeds it is the one with the median error on corrupted validation images;
    where the winner has no repeats, the best proposal."""
    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where it goes: a new folder, or an empty one."""
    replace: bool = False
    """Replace the network that was exported into the folder before; a folder with other files is refused."""
    formats: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """safetensors (for load_exported of engine), pt2 (for torch.export.load) and onnx (which needs the extra of that
    name); all that can be written if not given."""
    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """The sweep's folder."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = variables.or_variable(variables.STORAGE)
    """Optuna storage URL, if it is not the folder's."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where the sweep's artifacts are, if not in HOME/store: a folder, or s3://BUCKET/PREFIX, gs://… or az://…"""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = field(default=())
    """Modules of yours that register the network's model, or stages that have changed it."""


def main(options: ExportOptions) -> int:
    """Write the network, and say which it is and what is there."""
    import_modules(options.imports)
    console = make_console()
    with waiting(console, "writing the network"):
        found = export(
            options.study,
            options.output,
            what=options.what,
            formats=options.formats,
            replace=options.replace,
            home=options.home,
            storage=options.storage,
            store=options.store,
        )
    say(console, *found.parts())
    return 0


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ExportOptions, main, program="export", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
