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
from engine.report.study_report import study_report
from engine.report.terminal import make_console, say
from pipelines._command_line import run


@dataclass(frozen=True)
class ReportOptions:
    """Print the answer of a study: errors by arm, differences paired by seed, the best settings, what was pruned.

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


def main(options: ReportOptions) -> int:
    """Print a study's answer, or the names of the studies that there are."""
    console = make_console()
    storage = SweepOptions(home=options.home, storage=options.storage).storage_url
    if options.study is None:
        for name in study_names(storage):
            say(console, name)
        return 0
    results = read_results(storage, options.study)
    parts = study_report(results, by=options.by, detailed=True)
    if options.baseline is not None:
        parts += score_tables(results, baseline_of_study(options.baseline, results))
    say(console, *parts)
    return 0


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ReportOptions, main, program="report", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
