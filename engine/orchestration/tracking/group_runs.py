"""What the run of a group of trials has: an arm's, or the winner's, over its seeds, as the report's table has it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from engine.corruption_kinds import TUNED_ON
from engine.errors import InputError
from engine.metrics import Baseline, paired_difference
from engine.orchestration.tracking.trial_metrics import calibration_metrics, flip_metrics, score_metrics
from engine.report.columns import kind_columns
from engine.report.groups import GroupSummary
from engine.report.results import Results
from engine.report.text_tables import percent_text
from engine.result_names import Metric, Tag


def group_metrics(group: GroupSummary, baseline: Baseline | None = None) -> dict[str, float]:
    """Return mean, standard deviation and 95 % interval of all that its trials have measured, and how many they are.

    The mean has the name that the value of a single trial has. What no number is, such as the deviation of one seed, is
    left out.

    Args:
        group: the group.
        baseline: what scores are ratios to, if they are wanted.
    """
    found: dict[str, float] = {
        Metric.N: len(group.trials),
        Metric.FAILED: len(group.failed),
        Metric.MISSING: group.n_missing,
        Metric.DEAD: len(group.dead),
    }
    for name, values in _measured(group, baseline).items():
        found |= _spread(name, values)
    tables = [trial.table for trial in group.trials]
    for name, severity in tables[0] if tables else ():
        if all((name, severity) in table for table in tables):
            found |= _spread(Metric.cell(name, severity), [table[name, severity] for table in tables])
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _measured(group: GroupSummary, baseline: Baseline | None) -> dict[str, list[float]]:
    """Return {metric: its value on each seed} of what all seeds have."""
    objectives = [trial.objective for trial in group.trials if trial.objective is not None]
    values = {Metric.OBJECTIVE: objectives} if objectives else {}
    values |= {Metric.of_column(column): list(errors) for column, errors in group.errors.items()}
    rows = [
        {**trial.metrics, **calibration_metrics(trial.errors), **flip_metrics(trial.errors)}
        for trial in group.trials
        if trial.errors
    ]
    if baseline is not None:
        for row, trial in zip(rows, group.trials, strict=True):
            assert trial.errors is not None
            try:
                row |= score_metrics(trial.errors, baseline)
            except InputError:  # the trial's own run says why
                continue
    names = dict.fromkeys(name for row in rows for name in row)
    return values | {name: [row[name] for row in rows] for name in names if all(name in row for row in rows)}


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    found = paired_difference(values, [0.0] * len(values))
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return {
        name: statistics.fmean(values),
        Metric.std(name): std,
        Metric.low(name): found.low,
        Metric.high(name): found.high,
    }


def table_tags(group: GroupSummary, results: Results) -> dict[str, str]:
    """Return the group's row of the report's table, {tag: cell}."""
    columns = [*kind_columns(results.tested), *([TUNED_ON] if TUNED_ON in group.errors else [])]
    cells = {Tag.error(column): percent_text(group.errors.get(column, ())) for column in columns}
    return {Tag.SEEDS: group.count, **cells}


def group_status(group: GroupSummary) -> str:
    """Return how a group's run ends: as killed where seeds are missing, as failed where no trial is complete."""
    if group.n_missing:
        return "KILLED"
    return "FINISHED" if group.trials else "FAILED"
