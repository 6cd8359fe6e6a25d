"""What a space's own studies show beside what all do: a view makes tables and figures of results, and is found by name.

A view is a function of a ``Shown``: a study's results, and what its trials have left in the store. What it returns is
plain: sentences, ``Table``s, and ``Plot``s, which are pictures with the numbers that they are drawn from. Every form of
the report takes these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import InputError, unknown_name
from engine.registry import Registry
from engine.report.text_tables import Part, Table
from engine.spaces import Space, load_space, space_names

if TYPE_CHECKING:  # a space that names its view needs none of them
    from matplotlib.figure import Figure

    from engine.data import DataSet
    from engine.report.results import Results
    from engine.report.trial_results import TrialResult
    from engine.store import Artifact, Store


@dataclass(frozen=True)
class Plot:
    """A picture, and what is in it.

    Attributes:
        name: short, for a file ("accuracy"): letters, digits, "-" and "_".
        draw: makes the picture when it is wanted.
        data: its numbers.
    """

    name: str
    draw: Callable[[], Figure]
    data: Table


ViewPart = Part | Plot


@dataclass(frozen=True)
class Shown:
    """What a view shows something of.

    Attributes:
        results: of the study.
        store: of its artifacts, to be read; None where there is none.
    """

    results: Results
    store: Store | None = None

    def artifact(self, trial: TrialResult, stage: str) -> Artifact:
        """Return what a trial's stage made.

        Raises:
            InputError: the trial has no such stage, or the store has it no more.
        """
        from engine.stages import find_whole

        if stage not in trial.stages:
            raise InputError(f"trial {trial.number} has no stage {stage}: it has {', '.join(trial.stages) or 'none'}")
        found = None if self.store is None else find_whole(self.store, trial.stages[stage])
        if found is None:
            where = "there is no store" if self.store is None else f"the store {self.store.address} has it no more"
            raise InputError(f"what {stage} of trial {trial.number} made is needed, and {where}")
        return found

    def data(self) -> DataSet:
        """Return the study's images.

        Raises:
            InputError: they cannot be had: files that are gone, say.
        """
        from engine.stages import prepare_data

        if self.store is None:
            raise InputError(f"the images of {self.results.space.base.data.name} are needed, and there is no store")
        return prepare_data(self.results.space.base.data, self.store)[1]


View = Callable[[Shown], Iterable[ViewPart]]

VIEWS: Registry[View] = Registry("view")
register_view = VIEWS.register
"""Return a decorator that adds a view under a name, which a space gives as its ``view``."""


def find_view(space: Space) -> View | None:
    """Return the view that a space names; None if it names none.

    Raises:
        InputError: no module that has been imported registers it, nor does the module of the space's name.
    """
    if not space.view:
        return None
    if space.view not in VIEWS and space.name in space_names():
        load_space(space.name)
    if space.view not in VIEWS:
        raise unknown_name("view", space.view, VIEWS, of=f"space {space.name!r}")
    return VIEWS[space.view]


def check_view(space: Space) -> None:
    """Raise ``InputError`` for a space whose view nothing registers."""
    find_view(space)


def view_parts(shown: Shown) -> list[ViewPart]:
    """Return what a study's view shows; what it cannot show is a sentence in its place."""
    results = shown.results
    try:
        view = find_view(results.space)
    except InputError as error:
        return [f"not shown: the view of its space, whose module has to be brought in (--import): {error}"]
    if view is None or not results.with_state("COMPLETE"):
        return []
    parts: list[ViewPart] = []
    try:
        for part in view(shown):
            parts.append(_checked(part, results.space.view))
    except InputError as error:
        parts.append(f"not shown: the rest of view {results.space.view!r}: {error}")
    except Exception as error:  # a view is anybody's code, and the report has more to say than it
        parts.append(f"not shown: the rest of view {results.space.view!r} fails: {type(error).__name__}: {error}")
    return parts


def as_parts(parts: Iterable[ViewPart]) -> list[Part]:
    """Return a view in tables and text alone: of a picture its numbers, unless they are a table of the view already."""
    tables: list[Part] = []
    for part in parts:
        found = part.data if isinstance(part, Plot) else part
        if found not in tables:
            tables.append(found)
    return tables


def in_short(parts: Iterable[ViewPart]) -> list[Part]:
    """Return a view as it is read in text: its tables, and of each picture where that and its numbers are."""
    return [
        f"picture {part.name}, {part.data.title}: `--figures FOLDER` draws it, and its numbers are on the page and in "
        "`--format csv`"
        if isinstance(part, Plot)
        else part
        for part in parts
    ]


def _checked(part: Any, view: str) -> ViewPart:
    if not isinstance(part, str | Table | Plot):
        raise InputError(f"view {view!r} must give text, a Table or a Plot, got {type(part).__name__}")
    if isinstance(part, Plot) and not re.fullmatch(r"[\w-]{1,80}", part.name):
        raise InputError(f"view {view!r}: a plot's name has letters, digits, '-' and '_', got {part.name!r}")
    return part
