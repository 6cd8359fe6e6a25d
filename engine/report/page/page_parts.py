"""What a report's page consists of: sections of text, tables and pictures, and what could not be shown."""

from __future__ import annotations

import io
import json
import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from engine.explanation import as_typed
from engine.report.columns import corruption_columns, kind_columns
from engine.report.commands import network_command
from engine.report.comparisons import declared_table, difference_table, interval_table, measured_table
from engine.report.flip_tables import group_flip_tables
from engine.report.groups import GroupSummary
from engine.report.over_corruptions import MANY, OverCorruptions, improvement_table, means_table, over_corruptions
from engine.report.page.drawing import Picture
from engine.report.page.filter_figures import (
    borda_bars,
    distance_bars,
    has_distances,
    strengths_dots,
    tuned_points,
    tuning_lines,
)
from engine.report.page.forest import declared_forest, groups_forest
from engine.report.page.search_figures import (
    history,
    importance_bars,
    parallel_coordinates,
    pruning,
    timeline,
    trials_table,
)
from engine.report.page.severity_figures import cells_of, heat_maps, severity_lines, shown_groups
from engine.report.page.shared_stages import costs_table, environments_table, sharing_sentence, stage_costs, stage_tree
from engine.report.page.stored_values import SWITCHED, StoredValues, TunedFilters
from engine.report.results import Results
from engine.report.study_report import (
    arm_lines,
    best_parts,
    ended_lines,
    group_lines,
    importance_table,
    left_out_lines,
)
from engine.report.text_tables import Part, Table, visible
from engine.report.verdicts import Finding, findings, verdict_lines
from engine.report.views import Plot, ViewPart
from engine.spaces.arms import WINNER

MOST_COMPARED = 6
"""Columns of errors that have a forest plot."""


@dataclass(frozen=True)
class Remake:
    """How a page, and what it is of, is made again.

    Attributes:
        page: the command that writes the page; "" if it is not known.
        sweep: the command of the sweep; "" if it is not known.
        place: the words by which commands find the sweep's store.
    """

    page: str = ""
    sweep: str = ""
    place: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """A line of the verdicts.

    Attributes:
        words: of it.
        is_shown: whether something of it is shown.
    """

    words: str
    is_shown: bool


@dataclass(frozen=True)
class Command:
    """Words for a terminal."""

    words: str


@dataclass(frozen=True)
class Download:
    """A file that the page has in itself.

    Attributes:
        name: of the file.
        text: what is in it.
        words: what it is.
    """

    name: str
    text: str
    words: str


Shown = Part | Picture | Verdict | Command | Download


@dataclass
class Section:
    """A part of the page under a heading.

    Attributes:
        title: of it.
        parts: what it shows, in order.
        missing: a sentence for each thing that it cannot show.
    """

    title: str
    parts: list[Shown] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PageContent:
    """What a page is made of.

    Attributes:
        results: of the study.
        stored: what its store says beside them.
        scores: tables against a baseline.
        remake: how it is made again.
        view: what the study's space shows beside what all do.
        by: what the tables of errors have a column for, as of ``study_report``.
    """

    results: Results
    stored: StoredValues
    scores: Sequence[Part]
    remake: Remake
    view: Sequence[ViewPart] = ()
    by: str = "kind"

    def sections(self) -> list[Section]:
        """Return the page's sections; the last one says what they could not show."""
        groups, found = self.results.groups(), findings(self.results)
        over = over_corruptions(self.results, groups)
        sections = [
            _verdicts(self.results, found),
            *([Section("As its space shows it", [*map(_drawn, self.view)])] if self.view else []),
            _groups(self.results, groups, self.scores, self.by, over),
            _severities(self.results, groups),
            _explored(self.results, groups, over),
            _search(self.results, groups),
            _filters(self.results, self.stored, self.remake),
            _strengths(self.stored),
            _stages(self.results, self.stored),
            _made(self.results, self.stored, self.remake),
        ]
        missing = [sentence for section in sections for sentence in section.missing]
        missing += [sentence for sentence in self.stored.missing if sentence not in missing]
        return [*sections, Section("What this page does not show", [*(missing or ["Nothing is missing."])])]


def _drawn(part: ViewPart) -> Shown:
    """Return a view's part as the page has it: a plot as a picture in itself, which nothing outside can reach."""
    if not isinstance(part, Plot):
        return part
    text = io.BytesIO()
    try:
        part.draw().savefig(text, format="svg")
    except Exception as error:  # a view is anybody's code, and the page has more to say than it
        return f"not drawn: {part.name} ({type(error).__name__}: {error})"
    address = "data:image/svg+xml;base64," + b64encode(text.getvalue()).decode()
    picture = f'<img class="plot" alt="{escape(visible(part.data.title))}" src="{address}">'
    return Picture(part.data.title, [picture], part.data, is_wide=True)


def _verdicts(results: Results, found: Sequence[Finding]) -> Section:
    section = Section("Verdicts")
    if not found:
        section.missing.append(
            f"space {results.space.name} declares no comparisons, so that nothing is tested; what is explored has "
            "intervals, but no verdict"
        )
        section.parts.append("Nothing was declared beforehand, so there is no verdict: all below is explored.")
        return section
    first, *lines = verdict_lines(found)
    section.parts.append(first)
    compared: dict[int, list[Finding]] = {}
    for one in found:
        compared.setdefault(id(one.contrast), []).append(one)
    for line, some in zip(lines, compared.values(), strict=False):
        section.parts.append(Verdict(line.strip(), any(one.is_starred for one in some)))
    section.parts += lines[len(compared) :]  # what so many seeds cannot show
    section.parts.append(declared_forest(found))
    declared = declared_table(found)
    section.parts += [declared] if declared is not None else []
    return section


def _groups(
    results: Results, groups: Sequence[GroupSummary], scores: Sequence[Part], by: str, over: OverCorruptions | None
) -> Section:
    section = Section("Arms and winner" if any(group.name == WINNER for group in groups) else "Arms")
    with_errors = [group for group in groups if group.trials]
    if not with_errors:
        section.missing.append("no arm has a complete trial: there are no errors of arms to show")
    else:
        columns = kind_columns(results.tested)
        section.parts.append(interval_table(groups, columns))
        opened = corruption_columns(results.tested) if by == "corruption" else {}
        section.parts += [interval_table(groups, some, of) for of, some in opened.items()]
        section.parts += group_flip_tables(groups, by=by)
        compared = list(dict.fromkeys([columns[-1], *columns]))[:MOST_COMPARED]
        section.parts.append(groups_forest(groups, compared))
        if hidden := [column for column in columns if column not in compared]:
            section.missing.append(f"forest plots of {', '.join(hidden)}, whose numbers are in the table")
        if over is not None:
            section.parts.append(means_table(over))
        elif results.tested:
            section.missing.append(f"interquartile means over corruptions: fewer than {MANY} were tested in all arms")
    section.parts += [*group_lines(groups), *left_out_lines(results, merged=by == "kind"), *arm_lines(results)]
    measured = measured_table(groups)
    section.parts += [measured] if measured is not None else []
    section.parts += scores
    section.parts += [sentence for measurement in results.measurements for sentence in measurement.sentences()]
    return section


def _severities(results: Results, groups: Sequence[GroupSummary]) -> Section:
    section, tested = Section("By corruption and severity"), results.tested
    controls = [arm.name for arm in results.space.arms if arm.control]
    shown = shown_groups(groups, [*controls, WINNER])
    if not tested or not shown:
        section.missing.append("no corruption was tested in all arms alike: there are no errors by severity to show")
        return section
    cells = [cells_of(group, tested) for group in shown]
    section.parts += [severity_lines(cells, tested), heat_maps(cells, tested)]
    hidden = [group.name for group in groups if group.trials and group not in shown]
    if hidden:
        section.missing.append(
            f"the figures by severity have {len(shown)} groups, not {', '.join(hidden)}: `--format csv` has every cell"
        )
    return section


def _explored(results: Results, groups: Sequence[GroupSummary], over: OverCorruptions | None) -> Section:
    section = Section("Explored differences")
    table = difference_table(results, groups, kind_columns(results.tested)) if groups else None
    if table is None:
        section.missing.append(
            "no arm is a control that another one could be compared with: no differences are explored"
        )
    else:
        section.parts.append(table)
    improvement = improvement_table(over) if over is not None else None
    section.parts += [improvement] if improvement is not None else []
    return section


def _search(results: Results, groups: Sequence[GroupSummary]) -> Section:
    section = Section("Search" if results.space.axes else "Trials")
    section.parts += [*best_parts(results, groups), *ended_lines(results)]
    every, listed = trials_table(results), False
    if not results.space.axes:
        section.missing.append(
            f"space {results.space.name} has no axes: there are no proposals whose settings could be shown"
        )
    elif not results.proposals():
        section.missing.append("no proposal is complete: there are no settings to compare")
    else:
        section.parts.append(parallel_coordinates(results, every))
        listed = True
        importance = importance_table(results)
        if importance is not None and results.importances is not None:
            section.parts.append(importance_bars(results.importances, importance))
        else:
            section.missing.append("importance of the settings: too few proposals are complete, or they differ in none")
    section.parts.append(history(results))
    _add(
        section,
        any(trial.steps for trial in results.trials),
        lambda: pruning(results),
        (
            "trials that are compared by several objectives are never pruned: there is nothing that pruners saw"
            if len(results.objectives) > 1
            else "no trial has told errors by step (it has no probe, or is an older version’s): what pruners saw is "
            "unknown"
        ),
    )
    timed = [trial for trial in results.trials if trial.started_at and trial.ended_at]
    _add(section, bool(timed), lambda: timeline(timed), "the study does not say when its trials ran")
    section.parts += [] if listed else [every]  # else it is the data of the first figure
    return section


def _add(section: Section, is_there: bool, make: Callable[[], Shown], otherwise: str) -> None:
    if is_there:
        section.parts.append(make())
    else:
        section.missing.append(otherwise)


def _filters(results: Results, stored: StoredValues, remake: Remake) -> Section:
    section = Section("Tuned filters")
    points = tuned_points(results)
    if not points and not stored.filters:
        section.missing.append(
            "no complete trial has tuned filters: there are no rankings, and nothing that tuning gave"
        )
        return section
    _add(section, bool(stored.filters), lambda: borda_bars(stored.filters), "no ranking of filters is in the store")
    _add(
        section,
        has_distances(stored.filters),
        lambda: distance_bars(stored.filters),
        "no ranking that is in the store has distances beside its points: the disparity of each filter’s responses to "
        "clean and noisy images cannot be shown",
    )
    several = len({point.n_images for point in points}) > 1
    _add(
        section,
        several,
        lambda: tuning_lines(points),
        ("all trials that tuned filters had the same number of noisy images: error by noisy images cannot be shown"),
    )
    if stored.disparity is not None:
        section.parts.append(_drawn(stored.disparity))
    if tuned := [one for one in stored.filters if one.chosen]:
        section.parts += [
            "Where in images noise switches filters on or off, before and after the tuning, this computes from the "
            f"networks of trial {tuned[0].trial.number}, over more images and with other choices of filters:",
            Command(_disparity_command(results, tuned[0], remake.place)),
        ]
        if stored.disparity is None and not any(sentence.startswith(SWITCHED) for sentence in stored.missing):
            section.missing.append(f"{SWITCHED}: `pipelines.report --format page` runs the networks, and shows it")
    return section


def _disparity_command(results: Results, one: TunedFilters, place: Sequence[str]) -> str:
    """Return the command that finds a trial's networks in the store and compares their responses."""
    which = results.space.config(one.trial.settings, seed=one.trial.seed).finetune.which
    threads = one.spec.get("numerics", {}).get("threads")
    words = [*place, *([] if threads is None else ["--threads", str(threads)]), "--which", which]
    return network_command("disparity", results, one.trial, words)


def _strengths(stored: StoredValues) -> Section:
    section = Section("Learned inhibition strengths")
    _add(
        section,
        bool(stored.strengths),
        lambda: strengths_dots(stored.strengths),
        ("no network of an arm or of the best proposal that is in the store has learned its inhibition strength"),
    )
    return section


def _stages(results: Results, stored: StoredValues) -> Section:
    section = Section("Stages, sharing and cost")
    with_stages = [trial for trial in results.trials if trial.stages]
    if not with_stages:
        section.missing.append("the study does not say which stages its trials had")
        return section
    costs = stage_costs(with_stages, stored.seconds)
    section.parts += [sharing_sentence(costs), costs_table(costs), stage_tree(with_stages, stored)]
    if not stored.seconds:
        section.missing.append("no stage is in a store that could be read: what they cost, and saved, is not known")
    timed = [trial.ended_at - trial.started_at for trial in results.trials if trial.started_at and trial.ended_at]
    if timed:
        section.parts.append(f"{len(timed)} trials were open for {math.fsum(timed):,.0f} s in all, waits included.")
    return section


def _made(results: Results, stored: StoredValues, remake: Remake) -> Section:
    section = Section("How it was made, and is made again")
    made_with = environments_table(stored)
    if made_with is not None:
        section.parts.append(made_with)
    else:
        section.missing.append("no stage says with which versions and machines it was made")
    for words, command in (("The sweep:", remake.sweep), ("This page:", remake.page)):
        section.parts += [words, Command(command)] if command else []
    if not remake.sweep:
        section.missing.append("the study does not say by which command it was swept; its space is in this page")
    space = json.dumps(results.space.to_json(), indent=1, ensure_ascii=False)
    section.parts.append(Download(f"{results.space.name}.json", space, "its search space, for --space"))
    section.parts.append(_settings_table(results))
    return section


def _settings_table(results: Results) -> Table:
    varied = {axis.setting for axis in results.space.axes}
    varied |= {path for arm in results.space.arms for path in arm.settings}
    rows = [
        (path, as_typed(value), "yes" if path in varied else "") for path, value in results.space.base.flat().items()
    ]
    return Table("Settings that no axis or arm changes have these values", ("setting", "value", "varied"), rows)
