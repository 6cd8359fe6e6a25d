"""From values to pixels: scales, their ticks, and the frame that a panel has around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.report.page.drawing import Drawing

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear scale.

    Attributes:
        low: value at ``start``.
        high: value at ``end``, above ``low``.
        start: in pixels.
        end: in pixels; before ``start`` for a scale that goes up.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value is, in pixels."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Return round values on it, at most so many."""
        return round_values(self.low, self.high, most)


def round_values(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from low to high, at most so many, evenly spaced."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * step for step in _STEPS if power * step >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def spread(values: Sequence[float], *, least: float = 0.02, zero: bool = False) -> tuple[float, float]:
    """Return the ends of a scale that shows some values, with a little room on both sides.

    Args:
        values: finite ones, at least one.
        least: how far its ends are apart at least.
        zero: whether 0 is to be on it.
    """
    low, high = min([*values, *([0.0] if zero else [])]), max([*values, *([0.0] if zero else [])])
    room = max(0.06 * (high - low), (least - (high - low)) / 2)
    return low - room, high + room


def percent(value: float) -> str:
    """Return a fraction in percent, for a tick: "12.5", or "0" and no "-0"."""
    shown = f"{100 * value:.3g}"
    return "0" if float(shown) == 0 else shown.replace("-", "−")


def x_axis(
    drawing: Drawing,
    scale: Scale,
    top: float,
    bottom: float,
    title: str,
    *,
    ticks: Sequence[float] | None = None,
    words: Callable[[float], str] = percent,
) -> None:
    """Draw a panel's lower axis: a line up to the top at every tick, its value below, and what it is."""
    for tick in scale.ticks() if ticks is None else ticks:
        drawing.line([(scale(tick), top), (scale(tick), bottom)], "grid")
        drawing.text(scale(tick), bottom + 13, words(tick), "tick mid")
    drawing.text((scale.start + scale.end) / 2, bottom + 28, title, "tick mid")


def y_axis(
    drawing: Drawing, scale: Scale, left: float, right: float, title: str, *, words: Callable[[float], str] = percent
) -> None:
    """Draw a panel's left axis: a line to the right at every tick, its value on the left, and what it is above."""
    for tick in scale.ticks():
        drawing.line([(left, scale(tick)), (right, scale(tick))], "grid")
        drawing.text(left - 5, scale(tick) + 4, words(tick), "tick end")
    drawing.text(2, min(scale.start, scale.end) - 8, title, "tick")
