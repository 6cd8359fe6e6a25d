"""The benchmark's scores of a study's arms against a baseline: E, CE, mCE, rCE."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import InputError, unknown_name
from engine.metrics import Baseline, Scores, corruption_scores, flip_scores, load_baseline, table_baseline
from engine.metrics.scores import ErrorTable
from engine.report.columns import MOST, batched
from engine.report.groups import GroupSummary
from engine.report.results import Results
from engine.report.text_tables import Part, Table, percent_text
from engine.report.trial_results import TrialResult
from engine.spaces import Space

ARM = "arm:"
"""What the name of a baseline begins with that is an arm of the study itself."""


def baseline_of_study(name: str, results: Results) -> Baseline:
    """Return a baseline by name, file, or ``arm:NAME``: an arm of the study, the mean over its seeds.

    Raises:
        InputError: there is no such baseline, or the arm has no complete trial.
    """
    return arm_baseline(name, results) if name.startswith(ARM) else load_baseline(name)


def arm_baseline(name: str, results: Results) -> Baseline:
    """Return the baseline that an arm of the study is, the mean over its seeds.

    Args:
        name: ``arm:NAME``.
        results: of the study.

    Raises:
        InputError: there is no such arm, or it has no complete trial.
    """
    wanted = name.removeprefix(ARM)
    check_arm(wanted, results.space)
    groups = {group.name: group for group in results.groups() if group.trials}
    if wanted not in groups:
        raise InputError(f"arm {wanted!r} has no complete trial yet, so that it can be no baseline")
    tables = [_table_of(trial, results.tested) for trial in groups[wanted].trials]
    mean = {cell: statistics.fmean(table[cell] for table, _ in tables) for cell in tables[0][0]}
    clean = statistics.fmean(clean_error for _, clean_error in tables)
    found = table_baseline(mean, clean, f"baseline arm {wanted}")
    return replace(found, sequences=_mean_sequences([_sequences_of(trial) for trial in groups[wanted].trials]))


def _sequences_of(trial: TrialResult) -> list[dict[str, Any]]:
    return (trial.errors or {"test": {}})["test"].get("sequences", [])


def _mean_sequences(trials: Sequence[Sequence[dict[str, Any]]]) -> tuple[dict[str, Any], ...]:
    """Return the rows of sequences that all trials have alike, with the means of what was measured."""
    key = ("sequence", "frames", "difficulty")
    by_trial = [{tuple(row[name] for name in key): row for row in rows} for rows in trials]
    shared = [of for of in by_trial[0] if all(of in rows for rows in by_trial)]
    return tuple(
        dict(zip(key, of, strict=True))
        | {name: statistics.fmean(rows[of][name] for rows in by_trial) for name in by_trial[0][of] if name not in key}
        for of in shared
    )


def check_arm(name: str, space: Space) -> None:
    """Check that a space has an arm; raises ``InputError`` with those it has."""
    names = [arm.name for arm in space.arms]
    if name not in names:
        raise unknown_name("arm", name, names, of=f"space {space.name!r}")


def score_tables(results: Results, baseline: Baseline) -> list[Part]:
    """Return the scores of the arms, mean ± standard deviation over their seeds, and the CE of each corruption.

    Raises:
        InputError: the baseline lacks a corruption of the study, or is over other severities.
    """
    groups, tested = results.groups(), results.tested
    scored = {
        group.name: [corruption_scores(*_table_of(trial, tested), baseline) for trial in group.trials]
        for group in groups
    }
    if not any(scored.values()):
        return [f"no arm has a complete trial to compare with {baseline.source}"]
    counts = {group.name: group.count for group in groups}
    parts: list[Part] = [_overall(scored, counts, baseline)]
    parts += [_by_corruption(dict(some)) for some in batched(scored.items(), MOST)]
    parts += _flip_rates(groups, baseline)
    note = baseline.against(results.space.base.data.name).note
    parts += [note] if note else []
    reasons = {reason for found in scored.values() for scores in found for reason in scores.reasons.values()}
    if reasons:
        parts.append("rCE is undefined: " + "; ".join(sorted(reasons)))
    return parts


def _flip_rates(groups: Sequence[GroupSummary], baseline: Baseline) -> list[Part]:
    """Return the groups' flip rates, where answers were to be steady along sequences."""
    scored = {
        group.name: [flip_scores(rows, baseline) for trial in group.trials if (rows := _sequences_of(trial))]
        for group in groups
    }
    found = [one for some in scored.values() for one in some]
    if not found:
        return []
    if any(one.mFR is None for one in found):
        return [f"no mFR: {next(one.reason for one in found if one.mFR is None)}"]
    lines = [
        (name, str(len(some)), percent_text([one.mFR for one in some]), percent_text([one.mT5D for one in some]))
        for name, some in scored.items()
    ]
    title = f"Flip rates in %, mean ±std over seeds; 100: as the {baseline.source}"
    return [Table(title, ("", "n", "mFR", "mT5D"), lines, align="lrrr")]


def _table_of(trial: TrialResult, corruptions: Collection[str]) -> tuple[ErrorTable, float]:
    assert trial.errors is not None
    table = {cell: error for cell, error in trial.table.items() if cell[0] in corruptions}
    return table, trial.test["clean"]


def _overall(scored: dict[str, list[Scores]], counts: dict[str, str], baseline: Baseline) -> Table:
    rows = []
    for group, found in scored.items():
        columns: list[Callable[[Scores], float | None]] = [
            lambda scores: scores.E,
            lambda scores: scores.mCE,
            lambda scores: scores.rCE,
        ]
        rows.append((group, counts[group], *(percent_text([column(scores) for scores in found]) for column in columns)))
    title = f"Scores in %, mean ±std over seeds; 100: as the {baseline.source}"
    return Table(title, ("", "seeds", "E", "mCE", "rCE"), rows, align="lrrrr")


def _by_corruption(scored: dict[str, list[Scores]]) -> Table:
    rows = []
    for name in dict.fromkeys(name for found in scored.values() for scores in found for name in scores.CE or ()):
        cells = []
        for found in scored.values():
            ratios = [scores.CE[name] for scores in found if scores.CE is not None and name in scores.CE]
            cells.append(f"{100 * statistics.fmean(ratios):.0f}" if ratios else "–")
        rows.append((name, *cells))
    return Table("CE in %, mean over seeds", ("corruption", *scored), rows, align="l" + "r" * len(scored))
