"""What Python calls: a sweep from its options to its answer, what a study says, and its network to take home."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rich.console import Console

from engine.errors import unknown_name
from engine.exporting.study_network import ExportedNetwork, export_study
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.orchestration.search import read_results
from engine.orchestration.sweep import Sweep
from engine.report.notebook import in_notebook
from engine.report.results import Results
from engine.report.study_results import StudyResults
from engine.report.terminal import make_console
from engine.signs_of_life import signs_of_life
from engine.spaces import Space
from engine.spaces.arms import WINNER

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def _spelled(call: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Have a call refuse names of arguments that it does not have by naming the nearest, as ``run_sweep`` does."""
    known = list(inspect.signature(call).parameters)

    @wraps(call)
    def checked(*arguments: Given.args, **options: Given.kwargs) -> Answer:
        for name in options:
            if name not in known:
                raise unknown_name("option", name, known, of=call.__name__)
        return call(*arguments, **options)

    return checked


def run_sweep(space: Space | str | Path, *, console: Console | None = None, **options: Any) -> StudyResults:
    """Explore a space, or go on with the study that does, and return its trials.

    Args:
        space: a space, or a name or file as of ``--space``.
        console: where progress and answer are printed; None for the terminal.
        options: those of the command line, by the names of ``SweepOptions``: ``home="runs"`` for ``--home runs``,
            ``settings={"pretrain.epochs": 20}`` for ``--set pretrain.epochs=20``; docs/options.md has all.

    Raises:
        InputError: anything in the options, the space or the data that cannot work, before anything starts.
    """
    name = space.name if isinstance(space, Space) else str(space)
    with nullcontext() if in_notebook() else signs_of_life():
        prepared = prepare(SweepOptions.of({**options, "space": name}), space if isinstance(space, Space) else None)
        return Sweep(prepared, console or make_console()).run()


@_spelled
def load_results(study: str, *, home: str | Path | None = None, storage: str | None = None) -> StudyResults:
    """Return the trials of a study.

    Args:
        study: its name.
        home: the folder of the sweep; ROBUSTUNE_HOME, else "runs" if not given.
        storage: Optuna storage URL, if it is neither ROBUSTUNE_STORAGE nor the folder's.

    Raises:
        InputError: there is no such study.
    """
    return StudyResults.of(read_results(SweepOptions.of({"home": home, "storage": storage}).storage_url, study))


@_spelled
def export(
    study: str | Results,
    folder: str | Path,
    *,
    what: str = WINNER,
    formats: Sequence[str] = (),
    replace: bool = False,
    home: str | Path | None = None,
    storage: str | None = None,
    store: str | Path | None = None,
) -> ExportedNetwork:
    """Write a study's network into a folder, from which ``load_exported`` of engine has it back.

    Args:
        study: its name, or its results.
        folder: a new folder, or an empty one.
        what: "winner", "arm:NAME" or "trial:N": of several seeds the one with the median error on corrupted validation
            images; where the winner has no repeats, the best proposal.
        formats: of "safetensors", "pt2" and "onnx"; all that can be written if none is named.
        replace: whether a network that was exported into the folder before is replaced; nothing else is ever removed.
        home, storage: as of ``load_results``.
        store: where the artifacts are, if neither in ROBUSTUNE_STORE nor in the folder of the sweep.

    Raises:
        InputError: no such study, no such trial, a folder that has other files, a format that cannot be written, or
            artifacts that were cleaned up.
    """
    options = SweepOptions.of({"home": home, "storage": storage, "store": store})
    return export_study(
        lambda: study if isinstance(study, Results) else read_results(options.storage_url, study),
        Path(folder),
        store=options.store_place,
        what=what,
        formats=formats,
        replace=replace,
    )
