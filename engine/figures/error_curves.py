"""The figure of a trial's errors by severity, a panel a kind of corruption."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from PIL import Image

from engine.corruption_kinds import by_kind
from engine.figures.lettering import title_lines
from engine.figures.panels import HEADROOM, Rows, Template, as_errors, ceiling, finish, line_of, panels, panels_width


def error_by_severity(rows: Rows, clean_error: float, title: str) -> Image.Image:
    """Return error against severity, a panel a kind of corruption, severity 0 being the clean images.

    Args:
        rows: [{"corruption", "severity", "error"}].
        clean_error: fraction.
        title: of the figure.
    """
    kinds = tuple((kind, tuple(names)) for kind, names in by_kind(row["corruption"] for row in rows).items())
    lines = title_lines(title, panels_width(len(kinds)))
    top = ceiling(HEADROOM * max(clean_error, *(row["error"] for row in rows)))
    template, curves = _severity_template(kinds, max(row["severity"] for row in rows), top, len(lines))
    for name, curve in curves.items():
        curve.set_data(*zip((0, clean_error), *line_of(rows, name).items(), strict=True))
    return template.image(curves.values(), lines)


@lru_cache(maxsize=16)
def _severity_template(
    kinds: tuple[tuple[str, tuple[str, ...]], ...], most: int, top: float, n_lines: int
) -> tuple[Template, dict[str, Any]]:
    """Return the figure of errors by severity, and its curves by corruption."""
    figure, axes = panels(dict(kinds), n_lines, "severity (0: clean)", "test error")
    curves, legends = {}, []
    for axis, (kind, names) in axes:
        for name in names:
            (curves[name],) = axis.plot([], [], marker="o", markersize=3, animated=True)
        finish(axis, kind)
        legends.append(axis.legend([curves[name] for name in names], names, fontsize=7, loc="upper left"))
        axis.set_xlim(-0.25, most + 0.25)
        axis.set_xticks(range(most + 1))
        as_errors(axis, top)
    return Template(figure, legends), curves
