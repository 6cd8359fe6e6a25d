"""The search: which settings came to what, how its best got better, and what was pruned when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.explanation import as_typed
from engine.report.page.drawing import Drawing, Picture
from engine.report.page.scaling import Scale, spread, x_axis, y_axis
from engine.report.results import Importances, Results
from engine.report.text_tables import Table
from engine.report.trial_results import TrialResult
from engine.spaces import Axis, Choice

_WIDTH, _LEFT, _RIGHT = 720.0, 40.0, 12.0
_MOST_POINTS = 40
"""Of a trial's line of steps."""
_MOST_LANES = 40
_NARROW, _ROOMY, _PAGE = 76.0, 130.0, 1000.0
"""Between two of the parallel coordinates, at least and at most; and where there are many, all together."""
_MANY = 300
"""Lines that are drawn fainter where there are more of them."""
_SHARES = 5
"""Classes of colour of the trials' lines: by the fifth that their objective is in."""
_PANEL, _NAMES, _LANE = 345.0, 170.0, 20.0
"""Of the bars of importance: width, where the bars begin, and a bar's height."""
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Rail:
    """An axis of the parallel coordinates.

    Attributes:
        name: the setting.
        values: what it can be, from below, as texts; empty for a range.
        range: its ends; only of a range.
        log: whether the range is on a logarithmic scale.
    """

    name: str
    values: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    log: bool = False

    def place(self, value: object) -> float | None:
        """Return where a value is between 0 and 1; None for one that the axis does not have."""
        if self.range is None:
            text = as_typed(value)
            if text not in self.values:
                return None
            return (self.values.index(text) + 0.5) / len(self.values)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        low, high, at = (math.log(x) if self.log else x for x in (*self.range, max(value, self.range[0])))
        return (at - low) / (high - low)


def rails(axes: Sequence[Axis]) -> list[Rail]:
    """Return an axis for each setting that a space's axes vary, with the values that it has under all conditions."""
    found: dict[str, list[Axis]] = {}
    for axis in axes:
        found.setdefault(axis.setting, []).append(axis)
    return [_rail(name, of) for name, of in found.items()]


def _rail(name: str, axes: Sequence[Axis]) -> Rail:
    ranges = [axis for axis in axes if not isinstance(axis, Choice)]
    if len(ranges) == len(axes):
        ends = (float(min(axis.low for axis in ranges)), float(max(axis.high for axis in ranges)))
        return Rail(name, range=ends, log=all(axis.log for axis in ranges))
    values = [value for axis in axes for value in axis.extremes()]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        values.sort()
    return Rail(name, tuple(dict.fromkeys(map(as_typed, values))))


def parallel_coordinates(results: Results, data: Table) -> Picture:
    """Return a line for each proposal through its settings to its objective; the better, the stronger its colour.

    Args:
        results: of the study, with complete proposals.
        data: as of ``trials_table``.
    """
    axes = rails(results.space.axes)
    complete = sorted(results.proposals(), key=lambda trial: -(trial.objective or 0.0))
    ended = [
        t for t in results.trials if t.slot.startswith("proposal/") and t.objective is None and t.state == "PRUNED"
    ]
    step = max(_NARROW, min(_ROOMY, _PAGE / max(1, len(axes))))
    top, bottom = 46.0, 300.0
    many = " many" * (len(complete) > _MANY)
    drawing = Drawing(60 + step * len(axes) + 56, bottom + 34, "settings of the proposals and their objective")
    objectives = [trial.objective for trial in complete if trial.objective is not None]
    scale = Scale(*spread(objectives or [0.0]), bottom, top)
    last = 60 + step * len(axes)
    for trial in ended:
        drawing.line(_way(trial, axes, step, top, bottom), "way lost", hint=f"trial {trial.number}: pruned")
    for place, trial in enumerate(complete):
        assert trial.objective is not None
        look = f"q{min(_SHARES - 1, place * _SHARES // len(complete))}" + " best" * (place == len(complete) - 1)
        way = [*_way(trial, axes, step, top, bottom), (last, scale(trial.objective))]
        drawing.line(way, f"way {look}{many}", hint=f"trial {trial.number}: {100 * trial.objective:.2f} %")
    for place, rail in enumerate(axes):
        _draw_rail(drawing, rail, 60 + step * place, top, bottom, step)
    drawing.line([(last, top), (last, bottom)], "axis")
    drawing.text(last, 14, "objective in %", "head mid")
    for tick in scale.ticks():
        drawing.text(last + 6, scale(tick) + 4, f"{100 * tick:.3g}", "tick halo")
    return Picture(
        "Settings of every proposal, and what it came to",
        [drawing.svg()],
        data,
        "A line is a proposal; the strongest colour has the best fifth, the thick one is the best"
        + ", dashed grey ones were pruned" * bool(ended)
        + ". “–”: the setting has no say in that trial. Lines are a little apart where values are the same.",
        is_wide=True,
    )


def _way(trial: TrialResult, axes: Sequence[Rail], step: float, top: float, bottom: float) -> list[tuple[float, float]]:
    shift = ((trial.number * _GOLDEN) % 1 - 0.5) * 12
    way = []
    for place, rail in enumerate(axes):
        at = rail.place(trial.settings[rail.name]) if rail.name in trial.settings else None
        y = bottom + 14 + shift / 3 if at is None else bottom - at * (bottom - top) + (0 if rail.range else shift)
        way.append((60 + step * place, y))
    return way


def _draw_rail(drawing: Drawing, rail: Rail, x: float, top: float, bottom: float, step: float) -> None:
    drawing.line([(x, top), (x, bottom)], "axis")
    section, _, name = rail.name.rpartition(".")
    drawing.text(x, 14, section, "tick mid", most=step - 6)
    drawing.text(x, 29, name, "head mid", most=step - 6)
    if rail.range is None:
        for place, value in enumerate(rail.values):
            y = bottom - (place + 0.5) / len(rail.values) * (bottom - top)
            drawing.text(x + 5, y + 4, value, "tick halo", most=step - 14)
    else:
        for end, y in zip(rail.range, (bottom, top), strict=True):
            drawing.text(x + 5, y + (0 if y == bottom else 10), f"{end:g}", "tick halo")
    drawing.text(x + 5, bottom + 18, "–", "tick halo")


def importance_bars(found: Importances, data: Table) -> Picture:
    """Return a bar for each setting, how much it matters in the search; a panel an objective.

    Args:
        found: the importances.
        data: as of ``importance_table``.
    """
    panels = []
    for objective, shares in found.shares.items():
        bottom = 24.0 + _LANE * len(shares)
        drawing = Drawing(_PANEL, bottom + 36, f"importance of {', '.join(shares)}")
        drawing.text(10, 14, objective if len(found.shares) > 1 else "share", "head")
        scale = Scale(0.0, max(*shares.values(), 0.01), _NAMES, _PANEL - 44)
        for place, (name, share) in enumerate(shares.items()):
            y = 24 + _LANE * place
            drawing.text(10, y + 12, name, "label", most=_NAMES - 16)
            drawing.box(_NAMES, y + 3, scale(share) - _NAMES, 12, "c0 fill")
            drawing.text(scale(share) + 4, y + 13, f"{share:.2f}", "tick")
        panels.append(drawing.svg())
    return Picture(data.title, panels, dataclasses.replace(data, title="", caption=""), data.caption)


def history(results: Results) -> Picture:
    """Return every trial's error by its number, and the best proposal's so far."""
    complete = [trial for trial in results.trials if trial.objective is not None]
    pruned = [trial for trial in results.trials if trial.state == "PRUNED" and trial.steps]
    values = [trial.objective for trial in complete if trial.objective is not None]
    values += [_last(trial) for trial in pruned]
    top, bottom = 26.0, 220.0
    drawing = Drawing(_WIDTH, bottom + 36, "objective of every trial by its number")
    y = Scale(*spread([value for value in values if math.isfinite(value)] or [0.0]), bottom, top)
    x = Scale(-1, max((trial.number for trial in results.trials), default=0) + 1, _LEFT, _WIDTH - _RIGHT)
    y_axis(drawing, y, _LEFT, _WIDTH - _RIGHT, "error on corrupted validation images in %")
    x_axis(drawing, x, bottom, bottom, "trial", ticks=_whole(x), words=lambda tick: f"{tick:g}")
    proposals = [trial for trial in complete if trial.slot.startswith("proposal/")]
    crossed = [trial for trial in pruned if math.isfinite(_last(trial))]
    drawing.crosses([(x(trial.number), y(_last(trial))) for trial in crossed], "faded")
    failed = results.with_state("FAIL")
    drawing.crosses([(x(trial.number), top - 4) for trial in failed], "c1")
    known = {trial.number for trial in proposals}
    others = [trial for trial in complete if trial.number not in known]
    drawing.dots([(x(trial.number), y(trial.objective or 0.0)) for trial in others], "c2")
    drawing.dots([(x(trial.number), y(trial.objective or 0.0)) for trial in proposals], "c0")
    best = _best_so_far(proposals)
    if best:
        drawing.line([(x(number), y(value)) for number, value in [*best, (x.high, best[-1][1])]], "c0")
    rows = [
        (str(trial.number), trial.slot, trial.state.lower(), _percent(trial.objective), _percent(_last(trial)))
        for trial in results.trials
    ]
    return Picture(
        "History of the trials",
        [drawing.svg()],
        Table("", ("trial", "for", "state", "objective in %", "last on the probe in %"), rows, align="rllrr"),
        _crosses(bool(crossed), bool(failed)) + "Arms and repeats of the winner run on other seeds than proposals.",
        _legend(
            [
                ("c0", "proposals, and the best so far", proposals),
                ("c2", "arms and winner", others),
                ("faded", "pruned", crossed),
                ("c1", "failed", failed),
            ]
        ),
        is_wide=True,
    )


def _crosses(has_pruned: bool, has_failed: bool) -> str:
    """Return what the crosses of a history are, as far as it has any."""
    pruned = "pruned ones, at the probe’s last error, which has other images than the objective"
    kinds = [pruned] * has_pruned + ["failed ones at the upper edge"] * has_failed
    return f"Crosses: {'; '.join(kinds)}. " if kinds else ""


def _legend(entries: Iterable[tuple[str, str, Sequence[object]]]) -> list[tuple[str, str]]:
    """Return a legend, (colour, what has it), of what is drawn at all."""
    return [(look, words) for look, words, drawn in entries if drawn]


def _best_so_far(proposals: Sequence[TrialResult]) -> list[tuple[float, float]]:
    """Return the corners of the line of the best objective so far."""
    corners: list[tuple[float, float]] = []
    for trial in proposals:
        value = trial.objective
        if value is not None and (not corners or value < corners[-1][1]):
            corners += [(trial.number, corners[-1][1])] if corners else []
            corners.append((trial.number, value))
    return corners


def pruning(results: Results) -> Picture:
    """Return every trial's error by step, as pruners saw it, and where trials were pruned."""
    seen = [trial for trial in results.trials if trial.steps]
    values = [value for trial in seen for value in trial.steps.values() if math.isfinite(value)]
    top, bottom = 26.0, 240.0
    drawing = Drawing(_WIDTH, bottom + 36, "error on the probe by step, and where trials were pruned")
    y = Scale(*spread(values or [0.0]), bottom, top)
    x = Scale(0, max(step for trial in seen for step in trial.steps) + 1, _LEFT, _WIDTH - _RIGHT)
    y_axis(drawing, y, _LEFT, _WIDTH - _RIGHT, "error on the probe in %")
    x_axis(drawing, x, bottom, bottom, "step", ticks=_whole(x), words=lambda tick: f"{tick:g}")
    ends = []
    for trial in seen:
        points = [(x(step), y(value)) for step, value in thinned(trial.steps) if math.isfinite(value)]
        if points:
            look = "lost" if trial.state == "PRUNED" else "q2"
            drawing.line(points, f"way {look}", hint=f"trial {trial.number}: {trial.state.lower()}")
            ends += [points[-1]] if trial.state == "PRUNED" else []
    drawing.crosses(ends, "c1")
    rows = [
        (
            str(trial.number),
            trial.slot,
            trial.state.lower(),
            " ".join(f"{s}:{100 * v:.2f}" for s, v in thinned(trial.steps)),
        )
        for trial in seen
    ]
    return Picture(
        "What pruners saw, and where they stopped trials",
        [drawing.svg()],
        Table("", ("trial", "for", "state", "step: error in %"), rows, align="rlll"),
        "A line is a trial" + "; a cross is where one was pruned" * bool(ends) + ". Steps are epochs over all stages, "
        f"or cells of the evaluation. Of longer lines {_MOST_POINTS} points are drawn.",
        _legend([("c1", "pruned here", ends)]),
        is_wide=True,
    )


def thinned(steps: Mapping[int, float]) -> list[tuple[int, float]]:
    """Return a trial's steps in order; of many some, evenly, the first and the last among them."""
    found = sorted(steps.items())
    if len(found) <= _MOST_POINTS:
        return found
    chosen = {round(place * (len(found) - 1) / (_MOST_POINTS - 1)) for place in range(_MOST_POINTS)}
    return [found[place] for place in sorted(chosen)]


def timeline(trials: Sequence[TrialResult]) -> Picture:
    """Return when each trial ran, one above the other where several did, and how it ended; all have their times."""
    timed = sorted(((t.started_at, t.ended_at, t) for t in trials if t.started_at and t.ended_at), key=lambda e: e[:2])
    start, end = min(begun for begun, _, _ in timed), max(done for _, done, _ in timed)
    lanes = lanes_of([(begun, done) for begun, done, _ in timed])
    n_lanes = min(_MOST_LANES, max(lanes) + 1)
    height, top = (14.0 if n_lanes <= 12 else 8.0), 20.0
    bottom = top + height * n_lanes
    drawing = Drawing(_WIDTH, bottom + 36, "when each trial ran")
    seconds = max(end - start, 1e-3)
    unit, words = (60.0, "minutes") if seconds > 300 else (1.0, "seconds")
    x = Scale(0.0, seconds / unit, 8, _WIDTH - _RIGHT)
    x_axis(drawing, x, top, bottom, f"{words} since the first trial began", words=lambda tick: f"{tick:g}")
    for (begun, done, trial), lane in zip(timed, lanes, strict=True):
        if lane < n_lanes:
            left, right = x((begun - start) / unit), x((done - start) / unit)
            hint = f"trial {trial.number}, {trial.slot}: {trial.state.lower()} after {done - begun:.1f} s"
            drawing.box(
                left, top + height * lane + 1, max(1.0, right - left - 0.5), height - 2, _look(trial), hint=hint
            )
    rows = [
        (str(t.number), t.slot, t.state.lower(), f"{begun - start:.2f}", f"{done - start:.2f}")
        for begun, done, t in timed
    ]
    return Picture(
        "When each trial ran",
        [drawing.svg()],
        Table("", ("trial", "for", "state", "from (s)", "to (s)"), rows, align="rllrr"),
        "Trials above each other ran at the same time. One that waited for another’s stage is as long as its wait.",
        _legend((*shown, [t for _, _, t in timed if _look(t) == drawn]) for drawn, shown in _LOOKS.items()),
        is_wide=True,
    )


_LOOKS = {
    "c0 fill": ("c0", "proposals"),
    "c2 fill": ("c2", "arms and winner"),
    "lostbox": ("faded", "pruned"),
    "c1 fill": ("c1", "failed"),
}
"""{look of a trial's box: (its class in the legend, what has it)}."""


def _look(trial: TrialResult) -> str:
    return {"PRUNED": "lostbox", "FAIL": "c1 fill"}.get(trial.state, "c0 fill" if trial.group == "" else "c2 fill")


def lanes_of(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return a lane for each span, in the order of their beginnings, so that none of a lane overlap."""
    ends: list[float] = []
    lanes = []
    for begun, done in spans:
        lane = next((place for place, free in enumerate(ends) if free <= begun), len(ends))
        ends[lane : lane + 1] = [done]
        lanes.append(lane)
    return lanes


def trials_table(results: Results) -> Table:
    """Return a row a trial: what it was for, how it ended, its objective, its test errors, its settings."""
    paths = list(dict.fromkeys(path for trial in results.trials for path in trial.settings))
    rows = []
    for trial in results.trials:
        errors = trial.test_errors() if trial.errors is not None else {}
        known = (errors.get(name) for name in ("clean", "all"))
        reason = str(trial.reason) if trial.reason is not None else ""
        rows.append(
            (
                str(trial.number),
                trial.slot,
                trial.state.lower(),
                _percent(trial.objective),
                *map(_percent, known),
                *(as_typed(trial.settings[path]) if path in trial.settings else "" for path in paths),
                reason,
            )
        )
    columns = ("trial", "for", "state", "objective in %", "clean test in %", "all test in %", *paths, "reason")
    return Table("All trials", columns, rows, align="rllrrr" + "l" * (len(paths) + 1))


def _percent(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def _last(trial: TrialResult) -> float:
    return trial.steps[max(trial.steps)] if trial.steps else math.nan


def _whole(scale: Scale) -> list[float]:
    return [tick for tick in scale.ticks(9) if tick == int(tick)]
