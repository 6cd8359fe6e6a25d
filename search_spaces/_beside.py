"""What was computed here beside what a paper prints, as tables and bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from engine.metrics import paired_difference
from engine.report.comparisons import format_difference
from engine.report.groups import GroupSummary
from engine.report.results import Results
from engine.report.text_tables import Table, percent_text
from search_spaces._published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Measured = Mapping[str, Mapping[str, Mapping[int, float]]]
"""{row: {column: {seed: a fraction}}}."""


def errors_by_column(group: GroupSummary, columns: Iterable[str]) -> dict[str, dict[int, float]]:
    """Return {column: {seed: test error}} of a group, of the columns that were tested."""
    return {
        column: {trial.seed: error for trial, error in zip(group.trials, group.errors[column], strict=True)}
        for column in columns
        if column in group.errors
    }


def errors_of_levels(group: GroupSummary, corruption: str, levels: Mapping[int, str]) -> dict[str, dict[int, float]]:
    """Return {column: {seed: test error}}: "clean", and each severity of a corruption under the name of its level.

    Args:
        group: the trials.
        corruption: whose severities.
        levels: {severity: what its column is called}.
    """
    found: dict[str, dict[int, float]] = errors_by_column(group, ["clean"])
    for severity, name in levels.items():
        errors = {trial.seed: trial.table.get((corruption, severity)) for trial in group.trials}
        found[name] = {seed: error for seed, error in errors.items() if error is not None}
    return {name: by_seed for name, by_seed in found.items() if by_seed}


def mean_of(columns: Mapping[str, Mapping[int, float]], names: Sequence[str]) -> dict[int, float]:
    """Return {seed: mean of some columns}, of the seeds that have all of them."""
    chosen = [columns[name] for name in names if name in columns]
    seeds = [seed for seed in (chosen[0] if chosen else ()) if all(seed in column for column in chosen)]
    return {seed: fmean(column[seed] for column in chosen) for seed in seeds}


def where_computed(results: Results) -> str:
    """Return in a few words where a study's numbers are from; of arms with nothing complete, no number is.

    Seeds that failed or were not run, and networks that are dead, are counted over all arms: the report's own table has
    them arm by arm.
    """
    groups = results.groups()
    counts = [len(group.trials) for group in groups if group.trials] or [0]
    fewest, most = min(counts), max(counts)
    n_seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    lost = {
        "failed": sum(len(group.failed) for group in groups),
        "not run": sum(group.n_missing for group in groups),
        "dead": sum(len(group.dead) for group in groups),
    }
    words = [f"{results.space.base.data.name}, {n_seeds} seed{'s' * (most != 1)}"]
    return ", ".join([*words, *(f"{count} {what}" for what, count in lost.items() if count)])


def measured_beside(
    title: str, measured: Measured, columns: Sequence[str], paper: Published | None, caption: str = ""
) -> Table:
    """Return what was computed, mean ± standard deviation over the seeds, with the paper's number below each.

    Args:
        title: above it.
        measured: what was computed, as fractions.
        columns: those that are shown, and what the paper calls them.
        paper: what it prints, in percent; None where its columns are other ones.
        caption: below it.
    """
    rows = []
    for row, by_column in measured.items():
        cells = []
        for column in columns:
            here = percent_text(list(by_column.get(column, {}).values()))
            cells.append(here if paper is None else f"{here}\npaper {paper.text(row, column)}")
        rows.append((row, *cells))
    return Table(title, ("", *columns), rows, align="l" + "r" * len(columns), caption=caption)


def changes_beside(
    title: str,
    measured: Measured,
    pairs: Sequence[tuple[str, str]],
    columns: Sequence[str],
    paper: Published | None,
    caption: str = "",
) -> Table:
    """Return how much one row differs from another, paired by seed, with the paper's difference below.

    Args:
        title: above it.
        measured: what was computed, as fractions.
        pairs: (row, what it is compared with).
        columns: those that are shown, and what the paper calls them.
        paper: what it prints, in percent; None for nothing.
        caption: below it.
    """
    rows = []
    for row, reference in pairs:
        if row not in measured or reference not in measured:
            continue
        cells = []
        for column in columns:
            here = difference_text(measured[row].get(column, {}), measured[reference].get(column, {}))
            cells.append(here if paper is None else f"{here}\npaper {paper.change(row, reference, column)}")
        rows.append((f"{row} − {reference}", *cells))
    return Table(title, ("", *columns), rows, align="l" + "r" * len(columns), caption=caption)


def difference_text(mine: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    """Return "−12.3 [−20.1, −4.5]" in points, paired by seed; "–" without a common one.

    Where some seeds have one of the two alone, how many have both is said.
    """
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return "–"
    text = format_difference(paired_difference([mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]))
    is_partial = 1 < len(seeds) < max(len(mine), len(theirs))  # of one seed it is said in any case
    return f"{text} ({len(seeds)} seeds)" if is_partial else text


def bars_beside(title: str, measured: Measured, columns: Sequence[str], paper: Published, unit: str) -> Figure:
    """Return dots for each seed and their mean, with a cross where the paper's number is, a panel a column."""
    from matplotlib.figure import Figure

    rows = list(measured)
    figure = Figure(figsize=(max(4.0, 0.55 * len(rows) + 1.2), 2.3 * len(columns) + 0.9), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(columns), 1, squeeze=False, sharex=True)[:, 0]
    for axis, column in zip(axes, columns, strict=True):
        for place, row in enumerate(rows):
            values = [100 * value for value in measured[row].get(column, {}).values()]
            axis.plot([place] * len(values), values, "o", color="C0", alpha=0.4, markersize=3)
            if values:
                axis.plot([place], [fmean(values)], "_", color="C0", markersize=14, markeredgewidth=2)
            printed = paper.values.get((row, column))
            if printed is not None:
                axis.plot([place], [printed], "x", color="C3", markersize=6)
        axis.set_ylabel(f"{column}\n{unit}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[-1].set_xticks(range(len(rows)), rows, rotation=60, ha="right")
    axes[-1].set_xlabel("dots: seeds, bar: their mean, cross: the paper", fontsize=7)
    return figure
