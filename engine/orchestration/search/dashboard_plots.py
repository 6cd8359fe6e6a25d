"""Figures of a study for optuna-dashboard, as values in Plotly's format, which it draws itself."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from engine.corruption_kinds import ALL, CLEAN
from engine.metrics import paired_difference
from engine.report.groups import GroupSummary
from engine.report.results import Results
from engine.report.verdicts import findings

Figure = dict[str, Any]


@dataclass(frozen=True)
class PlotlyFigure:
    """A figure as ``save_plotly_graph_object`` takes it: Plotly itself need not be installed."""

    figure: Figure

    def to_json(self) -> str:
        """Return the figure as JSON."""
        return json.dumps(self.figure, allow_nan=False)


def figures_of(results: Results) -> dict[str, PlotlyFigure]:
    """Return {id: figure} of what a study has to show."""
    groups = [group for group in results.groups() if group.trials]
    made = {
        "robustune-groups": _groups(groups) if groups else None,
        "robustune-declared": _declared(results),
        "robustune-corruptions": _corruptions(groups, results.tested) if groups and results.tested else None,
        "robustune-severities": _severities(groups, results.tested) if groups and results.tested else None,
        "robustune-importance": _importance(results),
    }
    return {name: PlotlyFigure(figure) for name, figure in made.items() if figure is not None}


def _groups(groups: Sequence[GroupSummary]) -> Figure:
    """Return every seed's error as a dot, and the means with their intervals."""
    data: list[Figure] = []
    for column, colour in ((ALL, "#c0504d"), (CLEAN, "#4472c4")):
        shown = [group for group in groups if group.values(column)] if column in groups[0].errors else []
        if not shown:
            continue
        title = "under corruption" if column == ALL else "clean"
        seeds = [(100 * value, escaped(group.name)) for group in shown for value in group.values(column)]
        look = {"color": colour, "opacity": 0.4}
        data.append(_points([x for x, _ in seeds], [y for _, y in seeds], f"{title}, a seed each", look))
        found = [paired_difference(group.values(column), [0.0] * len(group.values(column))) for group in shown]
        reach = [100 * (one.high - one.mean) if one.n > 1 else 0.0 for one in found]
        means = _points(
            [100 * one.mean for one in found],
            [escaped(group.name) for group in shown],
            f"{title}, mean with its 95 % interval",
            {"color": colour, "size": 10, "symbol": "diamond"},
        )
        data.append(means | {"error_x": {"type": "data", "array": reach}})
    return _figure("Test error of the arms, a dot each seed", data, "test error in %", reverse=True)


def _declared(results: Results) -> Figure | None:
    """Return the declared comparisons, with the intervals of their differences."""
    found = [one for one in findings(results) if one.evidence is not None and one.evidence.n > 1]
    if not found:
        return None
    data = []
    for outcome in dict.fromkeys(one.outcome for one in found):
        some = [(escaped(f"{one.contrast.name}, {outcome}"), one.evidence) for one in found if one.outcome == outcome]
        points = _points(
            [100 * one.mean for _, one in some if one is not None],
            [name for name, _ in some],
            escaped(outcome),
            {"size": 10},
        )
        reach = [100 * (one.high - one.mean) for _, one in some if one is not None]
        data.append(points | {"error_x": {"type": "data", "array": reach}})
    title = "Declared comparisons with 95 % intervals"
    figure = _figure(title, data, "difference in points (below 0: fewer errors)", reverse=True)
    figure["layout"]["shapes"] = [
        {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot"}}
    ]
    return figure


def _corruptions(groups: Sequence[GroupSummary], tested: Sequence[str]) -> Figure:
    """Return the mean error by group and corruption, as a heat map."""
    rows = [[100 * group.mean_and_std(name)[0] for name in tested] for group in groups]
    names = [escaped(group.name) for group in groups]
    data = {
        "type": "heatmap",
        "x": [escaped(name) for name in tested],
        "y": names,
        "z": rows,
        "text": [[f"{error:.1f}" for error in row] for row in rows],  # as the tables have it
        "colorscale": "YlOrRd",
        "reversescale": True,
        "texttemplate": "%{text}",
        "colorbar": {"title": {"text": "%"}},
    }
    return _figure("Mean test error in % by corruption", [data], "", reverse=True)


def _severities(groups: Sequence[GroupSummary], tested: Sequence[str]) -> Figure:
    """Return the mean error over corruptions and seeds by severity, a line each group."""
    data = []
    for group in groups:
        by_severity: dict[int, list[float]] = {0: list(group.values(CLEAN))}
        for trial in group.trials:
            for (name, severity), error in trial.table.items():
                if name in tested:
                    by_severity.setdefault(severity, []).append(error)
        steps = sorted(by_severity)
        means = [100 * statistics.fmean(by_severity[step]) for step in steps]
        data.append({"type": "scatter", "mode": "lines+markers", "x": steps, "y": means, "name": escaped(group.name)})
    figure = _figure("Mean test error by severity (0: clean images)", data, "severity")
    figure["layout"]["yaxis"] = {"title": {"text": "test error in %"}, "rangemode": "tozero"}
    return figure


def _importance(results: Results) -> Figure | None:
    """Return what the proposals alone say of the settings' importance; None where they are too few."""
    found = results.importances
    shares = None if found is None else found.shares.get(results.objectives[0])
    if found is None or not shares:
        return None
    names = list(shares)[::-1]
    data = {
        "type": "bar",
        "orientation": "h",
        "x": [shares[name] for name in names],
        "y": [escaped(name) for name in names],
    }
    title = f"Importance of the settings in the {found.n} complete proposals alone (PED-ANOVA)"
    return _figure(title, [data], "share")


def escaped(text: str) -> str:
    """Return text that Plotly shows word for word: it takes some tags of HTML for what they are."""
    return escape(text, quote=False)


def _points(x: Sequence[float], y: Sequence[str], name: str, marker: Figure) -> Figure:
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "name": name, "marker": marker}


def _figure(title: str, data: Sequence[Figure], x_title: str, *, reverse: bool = False) -> Figure:
    """Return a figure; the first of its rows is the topmost if ``reverse``."""
    layout: Figure = {
        "title": {"text": title},
        "xaxis": {"title": {"text": x_title}, "automargin": True},
        "yaxis": {"automargin": True, **({"autorange": "reversed"} if reverse else {})},
        "legend": {"orientation": "h", "y": -0.25},
    }
    return {"data": list(data), "layout": layout}
