"""What a study has to say, whole: its errors, differences, winner, and what was pruned or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.corruption_kinds import ALL, CLEAN, TUNED_ON
from engine.errors import unknown_name
from engine.explanation import set_words
from engine.report.columns import corruption_columns, kind_columns, merged_kinds
from engine.report.comparisons import declared_table, difference_table, error_table, measured_table
from engine.report.failures import failure_lines
from engine.report.flip_tables import group_flip_tables
from engine.report.groups import GroupSummary, has_tuned
from engine.report.over_corruptions import improvement_table, means_table, over_corruptions
from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.text_tables import Part, Table
from engine.report.trial_results import TrialResult, budget_note, describe_settings
from engine.report.verdicts import findings, verdict_lines
from engine.spaces.arms import WINNER

BY = ("kind", "corruption")
"""What the tables of errors have a column for."""
OPEN_UP = "--by corruption"


def check_by(by: str) -> None:
    """Check the name of what tables have a column for; raises ``InputError`` for an unknown one."""
    if by not in BY:
        raise unknown_name("way to open the tables up (by)", by, BY)


def study_report(results: Results, *, by: str = "kind", detailed: bool = False) -> list[Part]:
    """Return what a sweep has to say: verdicts on what was declared, errors by arm, paired differences, the best
    settings, what was pruned.

    Args:
        results: of the sweep.
        by: what the tables have a column for, one of ``BY``.
        detailed: whether the declared comparisons have a table of their own below the verdicts, errors over many
            corruptions are shown by one number, too, and it is said how much each setting matters.

    Raises:
        InputError: they can have no column for that.
    """
    check_by(by)
    groups, found = results.groups(), findings(results)
    parts: list[Part] = [*running_lines(results), *verdict_lines(found)]
    declared = declared_table(found) if detailed else None
    parts += [declared] if declared is not None else []
    if groups:
        tables = {"": kind_columns(results.tested)} if by == "kind" else _opened_up(results)
        parts += [error_table(groups, columns, of) for of, columns in tables.items()]
        parts += group_flip_tables(groups, by=by)
        parts += [*group_lines(groups), *left_out_lines(results, merged=by == "kind"), *arm_lines(results)]
        measured = measured_table(groups)
        parts += [measured] if measured is not None else []
        differences = [difference_table(results, groups, columns, of) for of, columns in tables.items()]
        parts += [table for table in differences if table is not None]
        parts += over_corruptions_tables(results, groups) if detailed else []
        parts += [sentence for measurement in results.measurements for sentence in measurement.sentences()]
    parts += best_parts(results, groups)
    importance = importance_table(results) if detailed else None
    parts += [importance] if importance is not None else []
    parts.extend(ended_lines(results))
    return parts


def over_corruptions_tables(results: Results, groups: Sequence[GroupSummary]) -> list[Table]:
    """Return interquartile means and probabilities of improvement; none of few corruptions."""
    found = over_corruptions(results, groups)
    if found is None:
        return []
    improvement = improvement_table(found)
    return [means_table(found), *([improvement] if improvement is not None else [])]


def closing_report(results: Results, *, by: str = "kind") -> list[Part]:
    """Return what a sweep ends with: verdicts, errors by arm, the best proposal, what was pruned or failed.

    Differences are among it where nothing is declared beforehand; all else is on the page.

    Args:
        results: of the sweep.
        by: as of ``study_report``.
    """
    check_by(by)
    groups, found = results.groups(), findings(results)
    tables = {"": kind_columns(results.tested)} if by == "kind" else _opened_up(results)
    parts: list[Part] = [*running_lines(results), *verdict_lines(found)]
    if groups:
        parts += [error_table(groups, columns, of) for of, columns in tables.items()]
        parts += group_flip_tables(groups, by=by)
        parts += [*group_lines(groups), *left_out_lines(results, merged=False)]
        differences = [difference_table(results, groups, columns, of) for of, columns in tables.items()]
        parts += [table for table in differences if table is not None and not found]
    return [*parts, *best_parts(results, groups), *ended_lines(results)]


def main_parts(results: Results) -> list[Part]:
    """Return what a study says first: its name, verdicts, the errors of its arms, and what is not in them."""
    groups = results.groups()
    parts: list[Part] = [f"study {results.study}: {results.space.description}", *running_lines(results)]
    parts += verdict_lines(findings(results))
    if groups:
        parts += [error_table(groups, kind_columns(results.tested)), *group_lines(groups)]
    return [*parts, *ended_lines(results)] if results.trials else [*parts, "no trial has ended yet"]


def running_lines(results: Results) -> list[str]:
    """Return that a study is still running, where it is."""
    if not results.is_running:
        return []
    return [
        f"study {results.study} is still running: what follows is of the {len(results.trials)} trials that have ended"
    ]


def _opened_up(results: Results) -> dict[str, list[str]]:
    """Return {what a table is of: its columns} of tables with a column a corruption."""
    return {"": [CLEAN, ALL] if results.tested else [CLEAN], **corruption_columns(results.tested)}


def group_lines(groups: Sequence[GroupSummary]) -> list[str]:
    """Return which seeds are not in the means, and which of those that are come from a dead network."""
    lines = []
    for group in groups:
        if group.dead:
            seeds = ", ".join(str(trial.seed) for trial in group.dead)
            lines.append(
                f"dead: {group.name}, seed {seeds}: the network answers (nearly) every image alike; it counts in the "
                "mean"
            )
    missing = [f"{group.name} {group.n_missing}" for group in groups if group.n_missing]
    if missing:
        lines.append(f"not run: {', '.join(missing)} of {groups[0].n_seeds} seeds")
    return lines


def left_out_lines(results: Results, *, merged: bool) -> list[str]:
    """Return what the tables do not show, and where they show a mean in its place.

    Args:
        results: of the sweep.
        merged: whether kinds of corruption have a column, and their corruptions none.
    """
    lines = []
    kinds = merged_kinds(results.tested) if merged else {}
    if kinds:
        means = "; ".join(f"{kind}: mean of {', '.join(names)}" for kind, names in kinds.items())
        lines.append(f"{means} ({OPEN_UP} shows each)")
    if results.left_out:
        n_complete = sum(len(group.trials) for group in results.groups())
        counts = ", ".join(f"{name} ({count} of {n_complete} trials)" for name, count in results.left_out.items())
        lines.append(f"left out, since not all trials were tested on it at the same severities: {counts}")
    if has_tuned(results.groups()) and merged:
        lines.append(f"{TUNED_ON}: test error under the distortion that the filters of the row were tuned on")
    if results.displaced:
        lines.append(
            f"in no table: {len(results.displaced)} trials that repeat a proposal which a better one has displaced"
        )
    return lines


def best_parts(results: Results, groups: Sequence[GroupSummary]) -> list[Part]:
    """Return the best proposal, in front of it the front where there are several objectives."""
    best = results.best()
    if best is None:
        return []
    assert best.objective is not None
    parts: list[Part] = [front_table(results)] if len(results.objectives) > 1 else []
    which = ", the front's point with the least of it" if len(results.objectives) > 1 else ""
    parts.append(
        f"best proposal: trial {best.number}, objective {best.objective:.2%} (mean error on corrupted validation "
        f"images, one seed{which}){budget_note([best])}\n  {set_words(best.settings)}"
    )
    if best.metrics:
        parts.append("  measured: " + ", ".join(f"{name} {value:.4g}" for name, value in best.metrics.items()))
    if any(group.name == WINNER for group in groups):
        parts.append(
            "'winner' is this proposal computed again on the arms' seeds: its row can be compared with theirs."
        )
    return parts


def front_table(results: Results) -> Table:
    """Return the Pareto front of the proposals, least corrupted error first."""
    rows = []
    for trial in results.front():
        cells = [f"{100 * trial.values[name]:.2f}" for name in results.objectives]
        rows.append((str(trial.number), *cells, describe_settings(trial.settings)))
    title = "Pareto front of the proposals: validation error in %, one seed; the first is the winner"
    columns = ("trial", *results.objectives, "settings")
    return Table(title, columns, rows, align="r" * (1 + len(results.objectives)))


def importance_table(results: Results) -> Table | None:
    """Return how much each setting matters in the search, by each objective; None where nothing says so."""
    found = results.importances
    if found is None:
        return None
    names = sorted(
        {name for shares in found.shares.values() for name in shares},
        key=lambda name: -max(shares.get(name, 0.0) for shares in found.shares.values()),
    )
    rows = [(name, *(_share(shares.get(name)) for shares in found.shares.values())) for name in names]
    title = f"Importance of the settings in the {found.n} complete proposals alone (PED-ANOVA)"
    columns = ("setting", *found.shares) if len(found.shares) > 1 else ("setting", "share")
    caption = (
        "The share of a setting in what tells the best proposals from all others; arms, repeats and pruned trials have "
        "no part in it. Of few proposals it says little"
    )
    return Table(title, columns, rows, align="l" + "r" * len(found.shares), caption=caption)


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"


def arm_lines(results: Results) -> list[str]:
    """Return what each arm is, and how many labelled noisy images it used."""
    trials = {group.name: group.trials for group in results.groups()}
    return [
        f"{arm.name}: {describe_settings(arm.settings) or 'the base as it is'}{budget_note(trials.get(arm.name, ()))}"
        for arm in results.space.arms
    ]


def ended_lines(results: Results) -> list[str]:
    """Return how many trials were pruned and failed, and why, and how many repeat others."""
    lines = []
    repeats = [trial for trial in results.trials if trial.repeat_of is not None]
    if repeats:
        equal = "1 proposal equals" if len(repeats) == 1 else f"{len(repeats)} proposals equal"
        computed = f"nothing was computed for {'it' if len(repeats) == 1 else 'them'}"
        lines.append(f"repeated: {equal} an earlier trial ({computed})")
    pruned = results.with_state("PRUNED")
    if pruned:
        where = Counter(_where(trial.reason) for trial in pruned)
        counts = ", ".join(f"{count} {place}" for place, count in where.items())
        lines.append(f"pruned: {len(pruned)} of {len(results.trials)} trials ({counts})")
    lines.extend(failure_lines(results.with_state("FAIL")))
    n_unknown = sum(not trial.is_result for trial in results.trials)
    if n_unknown:
        lines.append(
            f"not counted as done: {n_unknown} trial{'s' * (n_unknown > 1)} that machines, store or network ended; "
            "that says nothing of the settings, and the same command runs them again"
        )
    lines += no_winner_lines(results)
    if results.trials and not results.with_state("COMPLETE"):
        lines.append("no trial completed: there is nothing to compare")
    return lines


def no_winner_lines(results: Results) -> list[str]:
    """Return why a study whose proposals have ended has no winner, where it has none."""
    tried = [trial for trial in results.trials if trial.slot.startswith("proposal/")]
    if not tried or results.is_running or results.proposals() or not all(trial.is_result for trial in tried):
        return []
    counts = Counter(_end(trial) for trial in tried)
    ends = ", ".join(f"{count} {end}" for end, count in counts.items())
    is_pruned = any(trial.state == "PRUNED" for trial in tried)
    more = "; with --pruner none and a greater --n-trials further ones are run to their end" if is_pruned else ""
    return [
        f"no winner: none of {len(tried)} proposals is complete ({ends}), so that there is none to compute again "
        f"on the arms' seeds{more}"
    ]


def _end(trial: TrialResult) -> str:
    if trial.state != "PRUNED":
        return "failed"
    if trial.reason is None or trial.reason.kind == "repeat":
        return "pruned" if trial.reason is None else "repeating pruned ones"
    return f"pruned by {trial.reason.pruner}" if trial.reason.pruner else "pruned"


def _where(reason: Reason | None) -> str:
    """Return where a trial was pruned."""
    if reason is not None and reason.kind == "repeat":
        return "as repeats of pruned ones"
    return f"in {reason.stage}" if reason is not None and reason.stage else "in a stage that was not recorded"
