"""Text in figures: whole, and as it is written."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # slow to import, and only who draws needs it
    from PIL.ImageFont import FreeTypeFont

LETTERS_PER_INCH = 12.5
"""Of a title in 9 points: mean letters, with some room for wide ones."""
MOST_LINES = 12
"""Lines of a title, at most: only settings that are lists of dozens of layers need more."""


def title_lines(title: str, width: float) -> list[str]:
    """Return a title in lines that fit a figure's width in inches; one of more than ``MOST_LINES`` ends in "…"."""
    most = max(20, int(width * LETTERS_PER_INCH))
    lines = [
        line
        for paragraph in title.splitlines() or [""]
        for line in textwrap.wrap(paragraph, most, break_on_hyphens=False) or [""]
    ]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], lines[MOST_LINES - 1][: most - 1] + "…"]
    return lines


def give_title(figure: Figure, title: str, *, above: float | None = None) -> None:
    """Give a figure its title, in as many lines as its width takes.

    Args:
        figure: the figure.
        title: its title.
        above: inches between the figure's upper edge and the title; None where matplotlib lays the figure out.
    """
    lines = "\n".join(title_lines(title, figure.get_figwidth()))
    if above is None:
        figure.suptitle(lines, fontsize=9)
    else:
        figure.suptitle(lines, fontsize=9, y=1 - above / figure.get_figheight(), va="top")


@lru_cache(maxsize=4)
def font(points: float, dpi: float) -> FreeTypeFont:
    """Return the font of figures, for what Pillow writes into them."""
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont(FontProperties()), points * dpi / 72)


def as_written(figure: Figure) -> None:
    """Show all text of a figure as it is: a "$" in a name is no formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)
