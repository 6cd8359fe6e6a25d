"""The one place that draws text on a terminal: it knows Rich, and gives it nothing to interpret.

Names, paths, reasons and settings come from outside, and may hold anything: brackets that Rich would take for markup,
":names:" that it would turn into pictures, and signs that steer a terminal. All of it is shown as it is.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, ConsoleRenderable, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Drawing
from rich.text import Text

from engine.report.notebook import in_notebook
from engine.report.text_tables import Part, Table, visible
from engine.signs_of_life import doing, note_said, shown

_PAGE = 120
"""Columns of a page where the output goes to a file: wide enough for the tables."""

_INTERVAL = re.compile(r" (?=\[)|\n")
"""What a cell of numbers is broken at: before an interval."""


def make_console() -> Console:
    """Return the terminal, or a page where the output goes to a file or into a notebook."""
    if in_notebook():  # a kernel asks for colours by a variable, but its cells are no terminal
        return Console(width=_PAGE, force_jupyter=False, force_terminal=False)
    return Console() if sys.stdout.isatty() else Console(width=_PAGE, force_jupyter=False)


def say(console: Console, *parts: Part) -> None:
    """Print tables and text, word for word; lines of text are as long as they are."""
    for part in parts:
        if isinstance(part, Table):
            _say_table(console, part)
        else:
            console.print(literal(part), soft_wrap=True)
    note_said()


def as_text(parts: Iterable[Part], *, width: int = 140) -> str:
    """Return tables and text as they are printed on a page."""
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None, force_jupyter=False)
    say(console, *parts)
    return console.export_text()


def literal(text: str, style: str = "") -> Text:
    """Return text that is shown as it is."""
    return Text(visible(text), style=style, overflow="fold")


def grid(rows: Iterable[tuple[str, str | ConsoleRenderable]]) -> Drawing:
    """Return labels beside what they label, without lines."""
    drawing = Drawing.grid(padding=(0, 2))
    for label, content in rows:
        drawing.add_row(literal(label), literal(content) if isinstance(content, str) else content)
    return drawing


@contextmanager
def progress_bar(console: Console, *, transient: bool = False) -> Iterator[Progress]:
    """Give a bar that shows on a terminal how far something is; elsewhere it is told as ``signs_of_life`` does.

    Args:
        console: where.
        transient: whether it is gone at the end.
    """
    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)
    with bar, shown() if console.is_terminal else doing(lambda: _as_line(bar)):
        yield bar


def _as_line(bar: Progress) -> str:
    """Return how far a bar is, in words."""
    at_it = [task for task in bar.tasks if task.visible]
    if not at_it:
        return "still at work"
    how_far = "" if at_it[-1].total is None else f": {at_it[-1].completed:,.0f} of {at_it[-1].total:,.0f}"
    return f"{visible(at_it[-1].description)}{how_far}"


def _say_table(console: Console, table: Table) -> None:
    """Print a table; its title and caption are as long as they are, however narrow it is."""
    if table.title:
        console.print(literal(table.title, style="italic"), soft_wrap=True)
    for part in _parts(table, console.width):
        console.print(_drawing(part, console.width))
    if table.caption:
        console.print(literal(table.caption, style="dim italic"), soft_wrap=True)


def _parts(table: Table, width: int) -> list[Table]:
    """Return a table as one or several below each other, if it is too wide even where its intervals are broken.

    Each has the columns that name the rows and as many others as fit, so that no number is broken.
    """
    n_names = table.align.find("r")
    least = [
        _width(table, column, _INTERVAL.split if table.align[column : column + 1] == "r" else str.split)
        for column in range(len(table.columns))
    ]
    if n_names < 1 or sum(least) + _frame(len(least)) <= width:
        return [table]
    names = list(range(n_names))
    parts: list[list[int]] = []
    for column in range(n_names, len(least)):
        wider = [*(parts[-1] if parts else names), column]
        if parts and sum(least[one] for one in wider) + _frame(len(wider)) <= width:
            parts[-1] = wider
        else:
            parts.append([*names, column])
    return [_columns(table, chosen) for chosen in parts]


def _columns(table: Table, chosen: Sequence[int]) -> Table:
    """Return some of a table's columns."""
    rows = [[row[column] for column in chosen if column < len(row)] for row in table.rows]
    align = table.align.ljust(len(table.columns), "l")
    return Table("", [table.columns[column] for column in chosen], rows, "".join(align[column] for column in chosen))


def _frame(n_columns: int) -> int:
    """Return how wide the lines and spaces between so many columns are."""
    return 3 * n_columns + 1


def _drawing(table: Table, width: int) -> Drawing:
    drawing = Drawing()
    sides = table.align.ljust(len(table.columns), "l")
    widths = _widths(table, width)
    for name, side, wanted in zip(table.columns, sides, widths, strict=True):
        justify: JustifyMethod = "right" if side == "r" else "left"
        drawing.add_column(literal(name), justify=justify, overflow="fold", width=wanted)
    for place, row in enumerate(table.rows):
        if row:
            cells = [_broken(cell, wanted) for cell, wanted in zip(row, widths, strict=False)]
            drawing.add_row(*map(literal, cells), end_section=_ends_section(table.rows, place))
    return drawing


def _broken(cell: str, width: int | None) -> str:
    """Return a cell with its intervals on lines of their own, if its column is too narrow for all of it."""
    return cell if width is None or cell_len(cell) <= width else "\n".join(_INTERVAL.split(cell))


def _widths(table: Table, width: int) -> list[int | None]:
    """Return the columns' widths on a page where intervals must be broken, and can be: what is left goes to the first.

    On other pages Rich finds them, which is what None stands for.
    """
    columns = range(len(table.columns))
    numbers = [column for column in columns if table.align[column : column + 1] == "r"]
    whole = [_width(table, column, lambda cell: cell.split("\n")) for column in columns]
    broken = [_width(table, column, _INTERVAL.split if column in numbers else str.split) for column in columns]
    frame = _frame(len(columns))
    spare = width - frame - sum(broken)
    has_intervals = any(broken[column] < whole[column] for column in numbers)
    if sum(whole) + frame <= width or spare < 0 or not has_intervals:
        return [None] * len(columns)
    widths: list[int | None] = []
    for least, most in zip(broken, whole, strict=True):
        widths.append(min(most, least + spare))
        spare -= min(most, least + spare) - least
    return widths


def _width(table: Table, column: int, split: Callable[[str], list[str]]) -> int:
    """Return the width of a column that is broken into lines like this."""
    cells = [table.columns[column], *(row[column] for row in table.rows if column < len(row))]
    return max((cell_len(piece) for cell in cells for piece in split(cell)), default=0)


def _ends_section(rows: Sequence[Sequence[str]], place: int) -> bool:
    return place + 1 < len(rows) and not rows[place + 1]
