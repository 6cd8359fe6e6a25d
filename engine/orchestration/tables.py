"""Tables as plain values: what is said, before anything draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    Attributes:
        title: above it; "" for none.
        columns: their names.
        rows: cells, which may have several lines; an empty row is a line across the table.
        align: a letter for each column, "l" for flush left and "r" for flush right; left where there is none.
        caption: below it; "" for none.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str = ""
    caption: str = ""


Part = Table | str
"""What a report consists of: tables, and text of one or more lines."""
