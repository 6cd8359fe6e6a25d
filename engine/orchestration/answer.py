"""The end of a sweep in words and tables."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from engine.metrics import PairedDifference
from engine.orchestration.reasons import Reason
from engine.orchestration.results import GroupSummary, Results, TrialResult, columns_of, describe_settings
from engine.orchestration.tables import Part, Table

MAX_REASONS = 3
"""Different reasons that are shown for the failures of a stage; they often differ in a path or a number alone."""


def answer_tables(results: Results) -> list[Part]:
    """Return what a sweep has to say: errors by arm, paired differences, the best settings, what was pruned."""
    groups = results.groups()
    parts: list[Part] = []
    if groups:
        parts.append(error_table_of(groups))
        parts.append("\n".join(arm_lines(results)))
        differences = difference_table(results, groups)
        if differences is not None:
            parts.append(differences)
    best = results.best()
    if best is not None:
        assert best.objective is not None
        if len(results.objectives) > 1:
            parts.append(front_table(results))
        which = ", the front's point with the least of it" if len(results.objectives) > 1 else ""
        parts.append(
            f"best proposal: trial {best.number}, objective {best.objective:.2%} (mean error on corrupted validation "
            f"images, one seed{which})\n  {describe_settings(best.settings)}"
        )
        if any(group.name == "winner" for group in groups):
            parts.append(
                "'winner' is this proposal computed again on the arms' seeds: its row can be compared with theirs."
            )
    parts.extend(ended_lines(results))
    return parts


def error_table_of(groups: list[GroupSummary]) -> Table:
    """Return mean ± standard deviation of the test errors over the seeds, a row a group."""
    columns, rows = columns_of(groups), []
    for group in groups:
        cells = ["{:.1f} ±{:.1f}".format(*(100 * value for value in group.mean_and_std(column))) for column in columns]
        rows.append((group.name, str(len(group.trials)), *cells))
    title = "Test error in %, mean ±std over seeds; corruptions over all severities"
    return Table(title, ("", "seeds", *columns), rows, align="l" + "r" * (1 + len(columns)))


def difference_table(results: Results, groups: list[GroupSummary]) -> Table | None:
    """Return each group less each control, paired by seed, with 95 % t intervals; None without a control."""
    controls = {arm.name for arm in results.space.arms if arm.control}
    columns = [column for column in columns_of(groups) if column != "all"]
    rows = []
    for place, group in enumerate(groups):
        for control in groups:
            if control.name not in controls or control.name == group.name:
                continue
            if group.name in controls and groups.index(control) > place:
                continue  # controls among each other: once
            found = [results.compare(group, control, column) for column in columns]
            rows.append((f"{group.name} − {control.name}", *(format_difference(item) for item in found)))
    title = "Difference in points (negative: fewer errors), paired by seed, 95 % interval; * excludes 0"
    return Table(title, ("", *columns), rows, align="l" + "r" * len(columns)) if rows else None


def front_table(results: Results) -> Table:
    """Return the Pareto front of the proposals, least corrupted error first."""
    rows = []
    for trial in results.front():
        cells = [f"{100 * trial.values[name]:.2f}" for name in results.objectives]
        rows.append((str(trial.number), *cells, describe_settings(trial.settings)))
    title = "Pareto front of the proposals: validation error in %, one seed; the first is the winner"
    columns = ("trial", *results.objectives, "settings")
    return Table(title, columns, rows, align="r" * (1 + len(results.objectives)))


def arm_lines(results: Results) -> list[str]:
    """Return what each arm is."""
    return [f"{arm.name}: {describe_settings(arm.settings)}" for arm in results.space.arms]


def format_difference(difference: PairedDifference | None) -> str:
    """Return "−12.3 [−20.1, −4.5] *" in percentage points."""
    if difference is None:
        return "–"
    if difference.mean == difference.low == difference.high == 0:
        return "0 (identical)"
    text = f"{100 * difference.mean:+.1f}"
    if math.isnan(difference.low):
        return f"{text} (one seed)"
    star = " *" if difference.low > 0 or difference.high < 0 else ""
    return f"{text} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]{star}"


def ended_lines(results: Results) -> list[str]:
    """Return how many trials were pruned and failed, and why, and how many repeat others."""
    lines = []
    repeats = [trial for trial in results.trials if trial.repeat_of is not None]
    if repeats:
        lines.append(f"repeated: {len(repeats)} proposals equal an earlier trial (nothing was computed for them)")
    pruned = results.with_state("PRUNED")
    if pruned:
        where = Counter(_where(trial.reason) for trial in pruned)
        counts = ", ".join(f"{count} {place}" for place, count in where.items())
        lines.append(f"pruned: {len(pruned)} of {len(results.trials)} trials ({counts})")
    lines.extend(failure_lines(results.with_state("FAIL")))
    if results.trials and not results.with_state("COMPLETE"):
        lines.append("no trial completed: there is nothing to compare")
    return lines


def _where(reason: Reason | None) -> str:
    """Return where a trial was pruned."""
    if reason is not None and reason.kind == "repeat":
        return "as repeats of pruned ones"
    return f"in {reason.stage}" if reason is not None and reason.stage else "in a stage that was not recorded"


def failure_lines(failed: Sequence[TrialResult]) -> list[str]:
    """Return why trials failed, in how many of them, most often first: of each stage's reasons a few."""
    groups: dict[tuple[str, str], Counter[Reason]] = defaultdict(Counter)
    for trial in failed:
        reason = trial.reason or Reason("words", text="for no reason that was recorded")
        groups[reason.kind, reason.stage][reason] += 1
    lines = []
    for (_, stage), reasons in groups.items():
        shown = reasons.most_common(MAX_REASONS)
        lines += [f"failed: {count} × {reason}" for reason, count in shown]
        n_more = reasons.total() - sum(count for _, count in shown)
        if n_more:
            where = f" in {stage}" if stage else ""
            lines.append(f"failed: {n_more} more{where}, for {len(reasons) - len(shown)} other reasons like these")
    return lines
