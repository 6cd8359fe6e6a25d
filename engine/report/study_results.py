"""A study's trials as they are given to who asks in Python: with a table for a notebook, data frames and figures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from engine.report.frames import Frames, as_frames
from engine.report.notebook import as_html, was_shown
from engine.report.results import Results
from engine.report.study_figures import StudyFigure, study_figures
from engine.report.study_report import main_parts


@dataclass(frozen=True, repr=False)
class StudyResults(Results):
    """All of a study's trials, which show their main table in a notebook."""

    @classmethod
    def of(cls, results: Results) -> StudyResults:
        """Return the same results with what a notebook asks for."""
        return cls(**{item.name: getattr(results, item.name) for item in dataclasses.fields(results)})

    def _repr_html_(self) -> str | None:
        """Return the main table for a notebook; None, so that a line is shown, in a cell that has shown it already."""
        return None if was_shown(self) else as_html(main_parts(self))

    def frames(self) -> Frames:
        """Return the trials, the errors by corruption and severity, and the groups, as data frames of pandas."""
        return as_frames(self)

    def figures(self) -> dict[str, StudyFigure]:
        """Return {title: figure}; each shows itself in a notebook, and has its data."""
        return study_figures(self)
