"""What a notebook shows: text and tables as HTML, and a display that is changed in place.

The one place that knows IPython, which is there where there is a notebook: nothing else needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from html import escape
from typing import Any

from engine.report.text_tables import Part, Table, visible

_NUMBER = ' style="text-align: right; white-space: nowrap"'
_WORDS = ' style="text-align: left"'
_TEXT = ' style="white-space: pre-wrap; margin: 0.4em 0; max-width: 60em"'


def in_notebook() -> bool:
    """Return whether the process is a notebook's kernel."""
    return _kernel() is not None


class Display:
    """Something in a cell's output that is shown at once and can be shown anew, in its place and from any thread.

    Args:
        parts: text and tables that it shows first.
    """

    def __init__(self, *parts: Part) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle: Any = display(HTML(as_html(parts)), display_id=True)

    def update(self, *parts: Part) -> None:
        """Show other text and tables in place of those before."""
        self._handle.update(self._html(as_html(parts)))


class _Shown:
    """Which object was shown last, and in which cell: (its id, the cell's number)."""

    last: tuple[int, int] | None = None


def show_answer(answer: object, parts: Iterable[Part]) -> None:
    """Show what an object has to say; where the same cell also ends with that object, it is not shown again."""
    Display(*parts)
    _Shown.last = (id(answer), _cell())


def was_shown(answer: object) -> bool:
    """Return whether the running cell has shown what this object has to say."""
    return in_notebook() and _Shown.last == (id(answer), _cell())


def as_html(parts: Iterable[Part]) -> str:
    """Return text and tables as HTML; whatever names hold is shown as it is."""
    return "".join(_table(part) if isinstance(part, Table) else f"<div{_TEXT}>{_shown(part)}</div>" for part in parts)


def _table(table: Table) -> str:
    sides = table.align.ljust(len(table.columns), "l")
    head = "".join(_cell_of("th", side, name) for side, name in zip(sides, table.columns, strict=True))
    rows = ["".join(_cell_of("td", side, cell) for side, cell in zip(sides, row, strict=False)) for row in table.rows]
    title = f'<caption style="text-align: left; caption-side: top">{_shown(table.title)}</caption>' * bool(table.title)
    body = "".join(f"<tr>{row}</tr>" for row in rows if row)
    caption = f"<div{_TEXT}>{_shown(table.caption)}</div>" if table.caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{caption}"


def _cell_of(tag: str, side: str, text: str) -> str:
    return f"<{tag}{_NUMBER if side == 'r' else _WORDS}>{_shown(text)}</{tag}>"


def _shown(text: str) -> str:
    return escape(visible(text)).replace("\n", "<br>")


def _kernel() -> Any:
    """Return the shell of the kernel that this process is, or None; a terminal's IPython is none."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


def _cell() -> int:
    return int(_kernel().execution_count)
