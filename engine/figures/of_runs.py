"""The figures that runs in the tracking have, by the names that its events call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from engine.figures.error_curves import error_by_severity
from engine.figures.error_heat_map import error_heat_map
from engine.figures.group_curves import groups_by_severity
from engine.figures.ranking_bars import ranking_bars

FIGURES: dict[str, Callable[..., Image.Image]] = {
    "error_by_severity": error_by_severity,
    "error_heat_map": error_heat_map,
    "groups_by_severity": groups_by_severity,
    "ranking_bars": ranking_bars,
}


def draw(figure: Mapping[str, Any]) -> Image.Image:
    """Return the image that an event describes: {"kind": one of ``FIGURES``, and its arguments}."""
    arguments = dict(figure)
    return FIGURES[arguments.pop("kind")](**arguments)
