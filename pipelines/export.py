"""The network to take home: ``python -m pipelines.export``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from engine import variables
from engine.exporting.export_folder import EXAMPLE, Exported, check_folder, check_formats
from engine.exporting.exported import WEIGHTS
from engine.exporting.taken_home import take_home
from engine.extensions import import_modules
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import read_results
from engine.report.exported_trial import exported_trial
from engine.report.terminal import make_console, say
from engine.report.text_tables import Table
from engine.store import open_store
from engine.store.cleaning import describe_bytes
from engine.store.places import place_of
from pipelines._command_line import run


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
    console = make_console()
    check_formats(options.formats)
    check_folder(options.output)
    import_modules(options.imports)
    results = read_results(SweepOptions(home=options.home, storage=options.storage).storage_url, options.study)
    exported = exported_trial(results, options.what)
    trial = exported.trial
    store = open_store(place_of(options.store or options.home / "store", "--store"), read_only=True)
    say(console, f"study {options.study}, trial {trial.number}, seed {trial.seed}: {exported.reason}", *exported.notes)
    written, names = take_home(results, exported, store, options.output, formats=options.formats or None)
    if names is None:
        data = results.space.config(trial.settings, seed=trial.seed).data
        say(console, f"the store has no images of {data.name} any more, so {options.output} names no classes")
    say(console, files_table(written), *(f"left out: {sentence}" for sentence in written.left_out))
    say(console, f"wrote {options.output}{try_it(options.output, written)}")
    return 0


def files_table(written: Exported) -> Table:
    """Return the files, and how near their logits come to the stored network's."""
    rows = [
        (each.file, describe_bytes(each.n_bytes), _agreement(each.difference), each.compared_with)
        for each in written.files
    ]
    return Table("", ("file", "size", "its logits", "compared with"), rows, align="lrll")


def _agreement(difference: float) -> str:
    return f"within {difference:.0e} of the largest" if difference else "the same bits"


def try_it(folder: Path, written: Exported) -> str:
    """Return how to load what was written, where it can be loaded by this project."""
    has_weights = any(each.file == WEIGHTS for each in written.files)
    return f"; try it: python {folder / EXAMPLE}" if has_weights else ""


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ExportOptions, main, program="export", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
