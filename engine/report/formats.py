"""The forms in which a study's answer can be written: each makes one file or several of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

from engine.errors import InputError, unknown_name, writing
from engine.report.latex import as_latex
from engine.report.page.page_parts import Remake
from engine.report.page.report_page import as_page
from engine.report.page.stored_values import StoredValues
from engine.report.records import (
    FLIP_COLUMNS,
    GROUP_COLUMNS,
    TRIAL_COLUMNS,
    as_csv,
    as_json,
    group_rows,
    sequence_rows,
    table_csv,
    trial_rows,
)
from engine.report.results import Results
from engine.report.study_report import running_lines, study_report
from engine.report.terminal import as_text
from engine.report.text_tables import Part, Table
from engine.report.views import ViewPart, as_parts, in_short

Files = Mapping[str, str]
"""{what is put before a file's ending: its text}; "" for the file itself."""


@dataclass(frozen=True)
class Answer:
    """What is written.

    Attributes:
        results: of the study.
        by: what tables have a column for, as of ``study_report``.
        scores: tables against a baseline, behind the others; none without one.
        stored: what the study's store says beside them, for a page; None where it was not read.
        remake: how a page is made again.
        view: what the study's space shows beside what all do, behind all others.
    """

    results: Results
    by: str = "kind"
    scores: Sequence[Part] = ()
    stored: StoredValues | None = None
    remake: Remake = field(default_factory=Remake)
    view: Sequence[ViewPart] = ()

    @property
    def parts(self) -> list[Part]:
        """Return its text and tables."""
        if not self.results.trials:
            return [*running_lines(self.results), f"study {self.results.study}: no trial has ended yet"]
        return [*study_report(self.results, by=self.by, detailed=True), *self.scores, *in_short(self.view)]


@dataclass(frozen=True)
class Format:
    """A form of the answer.

    Attributes:
        write: makes its files.
        description: what it is, for ``--help``.
        is_printed: whether it can be printed where no file is given: it is one file.
        needs_complete: whether there is nothing to write without a complete trial.
    """

    write: Callable[[Answer], Files]
    description: str
    is_printed: bool = True
    needs_complete: bool = True


def _page(answer: Answer) -> Files:
    page = as_page(
        answer.results,
        answer.stored,
        scores=answer.scores,
        remake=answer.remake,
        view=answer.view,
        by=answer.by,
    )
    return {"": page}


def _csv(answer: Answer) -> Files:
    results = answer.results
    return {
        "": as_csv(trial_rows(results), TRIAL_COLUMNS),
        "-groups": as_csv(group_rows(results), GROUP_COLUMNS),
        **_flips(results),
        **_view_tables(answer),
    }


def _flips(results: Results) -> Files:
    """Return the flip probabilities of all trials, where some were measured."""
    rows = sequence_rows(results)
    return {"-flips": as_csv(rows, FLIP_COLUMNS)} if rows else {}


def _view_tables(answer: Answer) -> Files:
    """Return the tables of a space's own view, a file each."""
    tables = [part for part in as_parts(answer.view) if isinstance(part, Table)]
    return {f"-view-{place}": table_csv(table) for place, table in enumerate(tables, start=1)}


FORMATS: dict[str, Format] = {
    "text": Format(lambda answer: {"": as_text(answer.parts)}, "as it is printed", needs_complete=False),
    "page": Format(_page, "a page for a browser, which needs no network: figures with their data, and all tables"),
    "csv": Format(_csv, "a row a trial × corruption × severity, and the groups beside it", is_printed=False),
    "json": Format(
        lambda answer: {"": as_json(answer.results, as_parts(answer.view))}, "everything, unrounded, with the verdicts"
    ),
    "latex": Format(
        lambda answer: {"": as_latex(answer.parts, title=f"Study {answer.results.study}")}, "tables with booktabs"
    ),
}
"""{form: how it is made}."""


def check_format(name: str, output: Path | None) -> Format:
    """Return a form of the answer by its name.

    Raises:
        InputError: there is no such form, it needs a file, or the file cannot be there.
    """
    if name not in FORMATS:
        raise unknown_name("format of the report", name, FORMATS)
    if output is None and not FORMATS[name].is_printed:
        raise InputError(f"`--format {name}` writes more than one file: say where, with `--output FILE`")
    if output is not None and output.is_dir():
        raise InputError(f"`--output` must be a file, got the folder {output}")
    if output is not None and not output.parent.is_dir():
        raise InputError(f"`--output`: there is no folder {output.parent} to write {output.name} into")
    if output is not None:
        _check_writable(output)
    return FORMATS[name]


def _check_writable(output: Path) -> None:
    """Try whether a file can be written, and leave no trace; raises ``InputError``."""
    with writing("`--output`", output):
        if output.is_file():
            with output.open("ab"):
                return
        if output.exists():  # such as /dev/stdout
            return
        with NamedTemporaryFile(dir=output.parent, prefix=f"{output.name[:100]}."):
            return


def written(answer: Answer, form: Format) -> Files:
    """Return the files of an answer.

    Raises:
        InputError: it has nothing that this form could show.
    """
    results = answer.results
    if form.needs_complete and not results.with_state("COMPLETE"):
        counts = f"{len(results.trials)} have ended" if results.trials else "none has ended"
        raise InputError(
            f"study {results.study!r} has no complete trial ({counts}): there are no errors to write; `--format text` "
            "says why"
        )
    return form.write(answer)


def write_files(files: Files, output: Path) -> list[Path]:
    """Write files at a path, those beside it with their word before its ending; return their paths.

    Raises:
        InputError: one cannot be written.
    """
    paths = []
    for word, text in files.items():
        path = output.with_name(f"{output.stem}{word}{output.suffix}")
        with writing("`--output`", path):
            path.write_text(text, encoding="utf-8", newline="")
        paths.append(path)
    return paths
