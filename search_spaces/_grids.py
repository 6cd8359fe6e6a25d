"""What grids of fine-tunings show, whatever their cells are."""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Shown, ViewPart, register_view

VIEW = "selective"


@register_view(VIEW)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield all that a grid of fine-tunings shows: what its space has no arms for is left out."""
    from search_spaces._tuning_views import all_parts

    yield from all_parts(shown, shown.results.space.name)
