"""What a study says: ``python -m pipelines.report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from engine import variables
from engine.errors import InputError
from engine.extensions import import_modules
from engine.figures.saving import save_figure
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import read_results, study_names
from engine.report.baseline_scores import baseline_of_study, score_tables
from engine.report.commands import page_command, store_words
from engine.report.formats import Answer, check_format, write_files, written
from engine.report.page.kept_page import stored_or_why
from engine.report.page.page_parts import Remake
from engine.report.page.stored_values import StoredValues
from engine.report.results import Results
from engine.report.study_report import running_lines
from engine.report.terminal import make_console, say
from engine.report.views import Plot, Shown, view_parts
from engine.store import Store, open_store
from engine.store.places import place_of
from pipelines._command_line import run


@dataclass(frozen=True)
class ReportOptions:
    """Print or write the answer of a study: verdicts on what was declared, errors by arm, differences paired by seed,
    the best settings, what was pruned.

    A space that has a view of its own (the papers' tables and figures have: the paper beside what was computed here) is
    shown by that too. Nothing is trained and nothing is changed; a sweep may be running meanwhile.
    """

    study: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the study; if it is not given, all names are listed, or, to be written, it is the only one."""
    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """The sweep's folder."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = variables.or_variable(variables.STORAGE)
    """Optuna storage URL, if it is not the folder's."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where the sweep's artifacts are, if not in HOME/store: a page shows times, rankings and learned strengths, and a
    space's view may look at all of them. A place that is named must have a store."""
    by: Annotated[str, tyro.conf.arg(metavar="NAME")] = "kind"
    """What tables have a column for: kind of corruption (noise, blur, …), or corruption for each alone."""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Also print CE, mCE and rCE against it: alexnet-paper, alexnet-imagenet-c, a .csv or .json file of errors, or
    arm:NAME."""
    format: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """text, as it is printed; page, one HTML file with figures that needs no network; csv, a row a trial × corruption ×
    severity in FILE and the groups in a file beside it (FILE with -groups before its ending), the tables of the space's
    view in others (-view-1, …); json, everything
    unrounded, with the verdicts; latex, tables with booktabs in a document that compiles."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write to a file, not to the terminal."""
    figures: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Also draw the pictures of the space's view, into this folder: STUDY-NAME.png."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = field(default=())
    """Modules of yours that register views, or the networks of a page's learned strengths."""


def main(options: ReportOptions) -> int:
    """Print or write a study's answer, or print the names of the studies that there are."""
    console = make_console()
    form = check_format(options.format, options.output)
    if options.figures is not None and not options.figures.is_dir():
        raise InputError(f"the figures' folder does not exist: {options.figures}")
    import_modules(options.imports)
    store = opened_store(options)
    storage = SweepOptions(home=options.home, storage=options.storage).storage_url
    study = options.study
    if study is None:
        names = study_names(storage)
        if options.output is None and options.format == "text":
            say(console, *names)
            return 0
        study = only_study(names)
    results = read_results(storage, study)
    scores = [] if options.baseline is None else score_tables(results, baseline_of_study(options.baseline, results))
    view = view_parts(Shown(results, store))
    answer = Answer(results, options.by, scores, view=view)
    draw(console, answer, options.figures)
    if options.format == "page":
        answer = replace(answer, stored=stored_beside(results, store, options), remake=remade(results, options))
    if options.output is None and options.format == "text":
        say(console, *answer.parts)
        return 0
    files = written(answer, form)
    if options.output is None:
        print(files[""], end="")
        return 0
    for path in write_files(files, options.output):
        say(console, f"written: {path}")
    say(console, *running_lines(results))
    return 0


def only_study(names: Sequence[str]) -> str:
    """Return the study that is meant where none is named; raises ``InputError`` where there are several."""
    if len(names) != 1:
        raise InputError(
            f"which study? Say `--study NAME`, one of: {', '.join(names) or 'none, there is no study yet'}"
        )
    return names[0]


def opened_store(options: ReportOptions) -> Store | None:
    """Return the store beside the study, to be read; None where none was named and the sweep's folder has none.

    Raises:
        InputError: none is in the place that was named, or it cannot be read.
    """
    try:
        return open_store(place_of(options.store or options.home / "store", "--store"), read_only=True)
    except InputError:
        if options.store is not None:
            raise
        return None  # what needs it says so


def stored_beside(results: Results, store: Store | None, options: ReportOptions) -> StoredValues:
    """Return what the store says beside a study; where there is none, that there is none."""
    if store is None:
        return StoredValues(missing=(f"there is no store in {options.home / 'store'}",))
    return stored_or_why(results, store, run_networks=True)


def remade(results: Results, options: ReportOptions) -> Remake:
    """Return how a page is made again."""
    output = None if options.output is None else str(options.output)
    page = page_command(results, options.home, storage=options.storage, store=options.store, output=output)
    return Remake(page, results.command, store_words(options.home, options.store))


def draw(console: Console, answer: Answer, folder: Path | None) -> None:
    """Draw the pictures of a view into a folder; None for nowhere."""
    if folder is None:
        return
    for part in answer.view:
        if isinstance(part, Plot):
            path = folder / f"{answer.results.study}-{part.name}.png"
            save_figure(part.draw(), path)
            say(console, f"written: {path}")


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ReportOptions, main, program="report", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
