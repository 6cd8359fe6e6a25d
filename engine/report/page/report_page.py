"""The report's page as text: one HTML file with its style, its program and all of its figures in it.

Whatever comes from outside is escaped: in HTML by jinja2, in pictures by ``Drawing``.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from engine.report.page.drawing import Picture
from engine.report.page.page_parts import Command, Download, PageContent, Remake, Verdict
from engine.report.page.stored_values import StoredValues
from engine.report.results import Results
from engine.report.study_report import check_by, running_lines
from engine.report.text_tables import Part, Table, visible
from engine.report.views import ViewPart

_FOLDER = Path(__file__).parent
MOST_ROWS = 2000
"""Rows of a table, at most: of more a browser makes no page that could be read."""


def as_page(
    results: Results,
    stored: StoredValues | None = None,
    *,
    scores: Sequence[Part] = (),
    remake: Remake | None = None,
    view: Sequence[ViewPart] = (),
    by: str = "kind",
) -> str:
    """Return a study's page.

    Args:
        results: of the study.
        stored: what its store says beside them; None where there is none to be read.
        scores: tables against a baseline.
        remake: how page and sweep are made again.
        view: what the study's space shows beside what all do.
        by: what the tables of errors have a column for, as of ``study_report``.

    Raises:
        InputError: they can have no column for that.
    """
    check_by(by)
    content = PageContent(results, stored or StoredValues(), scores, remake or Remake(), view, by)
    return _template().render(
        study=results.study,
        question=results.space.description,
        counts=_counts(results),
        running=running_lines(results),
        sections=content.sections(),
        style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
        program=(_FOLDER / "page.js").read_text(encoding="utf-8"),
    )


def kind_of_part(part: object) -> str:
    """Return by which block of the template a part is shown."""
    kinds: dict[type, str] = {
        Table: "table",
        Picture: "picture",
        Verdict: "verdict",
        Command: "command",
        Download: "download",
    }
    return kinds.get(type(part), "text")


def _counts(results: Results) -> str:
    complete, pruned, failed = (len(results.with_state(state)) for state in ("COMPLETE", "PRUNED", "FAIL"))
    return f"{len(results.trials)} trials: {complete} complete, {pruned} pruned, {failed} failed"


def _data_address(text: str) -> str:
    return "data:application/octet-stream;base64," + b64encode(text.encode()).decode()


def _sides(table: Table) -> str:
    return table.align.ljust(len(table.columns), "l")


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # here: nothing else of the project needs it

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.finalize = lambda value: visible(value) if type(value) is str else value
    environment.filters |= {"kind": kind_of_part, "data_address": _data_address, "sides": _sides}
    environment.globals |= {"MOST_ROWS": MOST_ROWS}
    return environment.get_template("page.html")
