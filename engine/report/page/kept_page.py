"""The page that a sweep leaves in its folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.errors import InputError
from engine.report.page.filter_disparity import disparity_or_why
from engine.report.page.page_parts import Remake
from engine.report.page.report_page import as_page
from engine.report.page.stored_values import StoredValues, read_stored
from engine.report.results import Results
from engine.report.text_tables import Part
from engine.report.views import Shown, view_parts
from engine.store.artifact import CorruptArtifactError
from engine.store.attempts import StoreFaultError
from engine.store.store import Store
from engine.whole_files import written_whole

QUICK_S = 10.0
"""What the evaluation of a network took at most, for the sweep's own page to have it run."""
FOLDER = "reports"
"""Of a sweep's folder."""


def page_place(home: Path, study: str) -> Path:
    """Return where a sweep's page is."""
    return home / FOLDER / f"{study}.html"


def keep_page(
    results: Results, store: Store, place: Path, *, scores: Sequence[Part], remake: Remake, by: str = "kind"
) -> str:
    """Write a study's page, with what its space's view shows, whole or not at all, and return it.

    Raises:
        InputError: the study has no complete trial.
        OSError: it cannot be written.
    """
    if not results.with_state("COMPLETE"):
        raise InputError(f"study {results.study!r} has no complete trial")
    view = view_parts(Shown(results, store))
    stored = stored_or_why(results, store)
    stored = _with_disparity(results, store, stored) if runs_in_seconds(results, stored) else stored
    text = as_page(results, stored, scores=scores, remake=remake, view=view, by=by)
    with written_whole(place) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return text


def stored_or_why(results: Results, store: Store, *, run_networks: bool = False) -> StoredValues:
    """Return what a store says beside a study; where it refuses, what it says.

    Args:
        results: of the study.
        store: its store; nothing in it is changed.
        run_networks: whether some tuned networks are run on test images: that takes seconds.
    """
    try:
        found = read_stored(results, store)
    except (InputError, StoreFaultError, CorruptArtifactError, OSError) as error:
        return StoredValues(missing=(f"the store {store.address} cannot be read: {error}",))
    return _with_disparity(results, store, found) if run_networks else found


def runs_in_seconds(results: Results, stored: StoredValues) -> bool:
    """Return whether networks that tuned filters run so fast that a sweep's end may wait for what they show.

    Their evaluations, of more images, took ``QUICK_S`` at most, and no folder's images would have to be decoded again.
    """
    keys = [one.trial.stages.get("evaluate", "") for one in stored.filters]
    seconds = [stored.seconds.get(key, math.inf) for key in keys]
    return bool(seconds) and max(seconds) <= QUICK_S and ":" not in results.space.base.data.name


def _with_disparity(results: Results, store: Store, found: StoredValues) -> StoredValues:
    """Return the same with where noise switches filters on or off, or why it is not there."""
    disparity, why = disparity_or_why(results, store, found.filters)
    return replace(found, disparity=disparity, missing=[*found.missing, *([why] if why else [])])
