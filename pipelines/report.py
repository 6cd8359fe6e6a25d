"""What a study says: ``python -m pipelines.report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from engine import variables
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import read_results, study_names
from engine.report.baseline_scores import baseline_of_study, score_tables
from engine.report.formats import Answer, check_format, write_files, written
from engine.report.study_report import running_lines
from engine.report.terminal import make_console, say
from pipelines._command_line import run


@dataclass(frozen=True)
class ReportOptions:
    """Print or write the answer of a study: verdicts on what was declared, errors by arm, differences paired by seed,
    the best settings, what was pruned.

    Nothing is computed and nothing is changed; a sweep may be running meanwhile.
    """

    study: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the study; all names are listed if it is not given."""
    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """The sweep's folder."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = variables.or_variable(variables.STORAGE)
    """Optuna storage URL, if it is not the folder's."""
    by: Annotated[str, tyro.conf.arg(metavar="NAME")] = "kind"
    """What tables have a column for: kind of corruption (noise, blur, …), or corruption for each alone."""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Also print CE, mCE and rCE against it: alexnet-paper, a .csv or .json file of errors, or arm:NAME."""
    format: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """text, as it is printed; csv, a row a trial × corruption × severity in FILE and the groups in a file beside it
    (FILE with -groups before its ending); json, everything unrounded, with the verdicts; latex, tables with booktabs in
    a document that compiles."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write to a file, not to the terminal."""


def main(options: ReportOptions) -> int:
    """Print or write a study's answer, or print the names of the studies that there are."""
    console = make_console()
    form = check_format(options.format, options.output)
    storage = SweepOptions(home=options.home, storage=options.storage).storage_url
    if options.study is None:
        for name in study_names(storage):
            say(console, name)
        return 0
    results = read_results(storage, options.study)
    scores = [] if options.baseline is None else score_tables(results, baseline_of_study(options.baseline, results))
    answer = Answer(results, options.by, scores)
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


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ReportOptions, main, program="report", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
