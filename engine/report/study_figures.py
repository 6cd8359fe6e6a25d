"""The figures of a study's page as objects: each shows itself in a notebook, and has its data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import writing
from engine.report.page.drawing import Picture
from engine.report.page.page_parts import PageContent, Remake
from engine.report.page.stored_values import StoredValues
from engine.report.results import Results
from engine.report.text_tables import visible

if TYPE_CHECKING:
    import pandas

_PAGE_CSS = Path(__file__).parent / "page" / "page.css"
_HEIGHT = re.compile(r'viewBox="0 0 [\d.]+ ([\d.]+)"')
_PANELS_IN_A_ROW = 2


@dataclass(frozen=True, repr=False)
class StudyFigure:
    """A figure of a study.

    Attributes:
        title: what it shows.
        picture: what it is drawn of: panels as SVG, the table of its data, a caption.
    """

    title: str
    picture: Picture = field(repr=False)

    def __repr__(self) -> str:
        return f"StudyFigure({self.title!r}, {len(self.picture.panels)} panels)"

    @property
    def data(self) -> pandas.DataFrame:
        """Return what it is drawn from, as it is printed."""
        import pandas

        table = self.picture.data
        return pandas.DataFrame([row for row in table.rows if row], columns=list(table.columns))

    def html(self) -> str:
        """Return it as a document of its own, which needs no network."""
        picture = self.picture
        legend = "".join(f'<span><i class="{look}"></i>{_shown(words)}</span>' for look, words in picture.legend)
        wide = " wide" * picture.is_wide
        return (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{_shown(self.title)}</title>'
            f"<style>{_PAGE_CSS.read_text(encoding='utf-8')}</style></head><body><figure><h3>{_shown(self.title)}</h3>"
            f'<div class="legend">{legend}</div><div class="panels{wide}">{"".join(picture.panels)}</div>'
            f'<p class="note">{_shown(picture.caption)}</p></figure></body></html>'
        )

    def save(self, path: str | Path) -> None:
        """Write it as an HTML file.

        Raises:
            InputError: that cannot be.
        """
        with writing("the figure", path):
            Path(path).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        heights = [float(height) for panel in self.picture.panels for height in _HEIGHT.findall(panel)[:1]]
        rows = len(heights) if self.picture.is_wide else -(-len(heights) // _PANELS_IN_A_ROW)
        height = 140 + rows * int(max(heights, default=200) + 10)
        frame = "width: 100%; border: none; background: white"
        return f'<iframe srcdoc="{escape(self.html())}" style="{frame}; height: {height}px"></iframe>'


def study_figures(results: Results) -> dict[str, StudyFigure]:
    """Return {title: figure} of what a study alone can show; the page has those of its store as well."""
    if not results.trials:
        return {}
    sections = PageContent(results, StoredValues(), (), Remake()).sections()
    pictures = [part for section in sections for part in section.parts if isinstance(part, Picture)]
    return {picture.title: StudyFigure(picture.title, picture) for picture in pictures}


def _shown(text: str) -> str:
    return escape(visible(text))
