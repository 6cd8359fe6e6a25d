"""Tables as plain values: what is said, before anything draws it."""

from __future__ import annotations

import statistics
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


_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: "\u2421"}
"""{sign that steers a terminal, or that no page can have: its picture}."""

Part = Table | str
"""What a report consists of: tables, and text of one or more lines."""


def visible(text: str) -> str:
    """Return text in which every sign can be seen: those that steer a terminal as pictures, what is no sign as ?."""
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode("utf-8")


_MOST_IN_FULL = 1e5
"""From here on a number is written with its power of ten."""


def number_text(value: float) -> str:
    """Return a number ≥ 0 with two digits behind the point, "0.52"; one that has no end of digits as "2.0e+37"."""
    return f"{value:.2f}" if value < _MOST_IN_FULL else f"{value:.1e}"


def percent_text(values: Sequence[float | None]) -> str:
    """Return "12.3 ±4.5", mean and standard deviation of fractions in percent.

    One value alone has no deviation; of none, or where one is undefined, there is nothing to say: "–".
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "–"
    spread = f" ±{100 * statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{100 * statistics.fmean(known):.1f}{spread}"
