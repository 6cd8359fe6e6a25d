"""Pictures as SVG: shapes in pixels, coloured by the classes of the page's style, so that they follow light and dark.

Text is escaped here, and only here: nothing else writes into a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from engine.report.text_tables import Table, visible

Points = Iterable[tuple[float, float]]

N_COLOURS = 8
"""Colours that lines can be told apart by: classes "c0" to "c7"."""
LETTER = 6.2
"""Width in pixels of a letter of 11 pixels' height, roughly."""
_HEAD_LETTER = 7.0
"""The same of a panel's title, which is bold."""


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        title: what it shows.
        panels: SVG, side by side where there is room.
        data: what it is drawn from.
        caption: how to read it.
        legend: (class of a colour, what has it).
        is_wide: whether its panels keep their width, and are scrolled on a narrow screen.
    """

    title: str
    panels: Sequence[str]
    data: Table
    caption: str = ""
    legend: Sequence[tuple[str, str]] = ()
    is_wide: bool = False


@dataclass
class Drawing:
    """A panel that is being drawn, its origin at the upper left.

    Attributes:
        width: in pixels.
        height: in pixels.
        label: what is read out in its place.
    """

    width: float
    height: float
    label: str
    _parts: list[str] = field(default_factory=list)

    def line(self, points: Points, look: str, *, hint: str = "") -> None:
        """Draw lines through points, and say a hint where the pointer rests on them."""
        path = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        self._add("path", f'd="M{path}"', f"line {look}", hint)

    def dots(self, points: Points, look: str) -> None:
        """Draw dots, all of one look, as one shape: lines of no length with round ends."""
        path = "".join(f"M{number(x)} {number(y)}h0" for x, y in points)
        if path:
            self._add("path", f'd="{path}"', f"dots {look}")

    def crosses(self, points: Points, look: str, size: float = 3) -> None:
        """Draw ×, all of one look, as one shape."""
        s, d = number(size), number(2 * size)
        path = "".join(f"M{number(x - size)} {number(y - size)}l{d} {d}m0 -{d}l-{d} {d}m{s} -{s}" for x, y in points)
        if path:
            self._add("path", f'd="{path}"', f"line {look}")

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        look: str,
        *,
        hint: str = "",
        opacity: float | None = None,
    ) -> None:
        """Draw a rectangle from its upper left corner."""
        place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        clear = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
        self._add("rect", place + clear, look, hint)

    def text(self, x: float, y: float, words: str, look: str = "", *, most: float = math.inf) -> None:
        """Write words, shortened where they are wider than so many pixels; the whole of them is then the hint."""
        letter = _HEAD_LETTER if "head" in look.split() else LETTER
        letters = max(1, int(most / letter)) if math.isfinite(most) else len(words)
        shown = words if len(words) <= letters else words[: max(1, letters - 1)] + "…"
        hint = f"<title>{escape(visible(words))}</title>" if shown != words else ""
        dress = f' class="{look}"' if look else ""
        self._parts.append(f'<text x="{number(x)}" y="{number(y)}"{dress}>{escape(visible(shown))}{hint}</text>')

    def svg(self) -> str:
        """Return the picture."""
        size = f'viewBox="0 0 {number(self.width)} {number(self.height)}" width="{number(self.width)}"'
        name = escape(visible(self.label), quote=True)
        return f'<svg {size} role="img" aria-label="{name}">{"".join(self._parts)}</svg>'

    def _add(self, tag: str, place: str, look: str, hint: str = "") -> None:
        end = f"><title>{escape(visible(hint))}</title></{tag}>" if hint else "/>"
        self._parts.append(f'<{tag} class="{look}" {place}{end}')


def number(value: float) -> str:
    """Return a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def colour(place: int) -> str:
    """Return the class of the colour of a line, by its place among others; beyond ``N_COLOURS`` they come again."""
    return f"c{place % N_COLOURS}"
