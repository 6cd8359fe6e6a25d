"""Arms side by side: tables of errors over their seeds, and of differences paired by seed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence

from engine.corruption_kinds import TUNED_ON
from engine.metrics import PairedDifference, paired_difference
from engine.report.groups import GroupSummary, has_tuned
from engine.report.results import Results
from engine.report.text_tables import Table, percent_text
from engine.report.verdicts import Finding, p_text

ROOMY = 4
"""Differences that fit beside each other with their intervals; of more, the intervals stand below."""


def error_table(groups: Sequence[GroupSummary], columns: Sequence[str], of: str = "") -> Table:
    """Return mean ± standard deviation of the test errors over the seeds, a row a group.

    Args:
        groups: the rows.
        columns: of errors.
        of: what the columns are, if they are not all.
    """
    title = "Test error in %, mean ±std over seeds; corruptions over all severities"
    return _error_table(groups, columns, of, title if not of else "", percent_text)


def interval_table(groups: Sequence[GroupSummary], columns: Sequence[str], of: str = "") -> Table:
    """Return the same with the mean's 95 % t interval below each."""
    title = "Test error in %: mean ± standard deviation over seeds, and the mean’s 95 % interval"
    found = _error_table(groups, columns, of, title if not of else "", _with_interval)
    return dataclasses.replace(found, caption="Corruptions over all severities.")


def _error_table(
    groups: Sequence[GroupSummary],
    columns: Sequence[str],
    of: str,
    title: str,
    shown: Callable[[Sequence[float]], str],
) -> Table:
    columns = [*columns, *([TUNED_ON] if has_tuned(groups) and not of else [])]
    rows = [(group.name, group.count, *(shown(group.errors.get(column, ())) for column in columns)) for group in groups]
    head = ("", "seeds", *columns)
    return Table(title or f"Test error in %: {of}", head, rows, align="l" + "r" * (1 + len(columns)))


def _with_interval(values: Sequence[float]) -> str:
    if len(values) < 2:
        return percent_text(values)
    found = paired_difference(values, [0.0] * len(values))
    return (
        f"{100 * found.mean:.1f} ±{100 * statistics.stdev(values):.1f}\n[{100 * found.low:.1f}, {100 * found.high:.1f}]"
    )


def measured_table(groups: Sequence[GroupSummary]) -> Table | None:
    """Return what stages have measured themselves, mean ± standard deviation over the seeds; None where none did."""
    names = list(dict.fromkeys(name for group in groups for trial in group.trials for name in trial.metrics))
    if not names:
        return None
    rows = []
    for group in groups:
        values = {name: [trial.metrics[name] for trial in group.trials if name in trial.metrics] for name in names}
        rows.append((group.name, group.count, *(_mean_and_std(values[name]) for name in names)))
    columns = ("", "seeds", *names)
    return Table("Measured by stages, mean ±std over seeds", columns, rows, align="l" + "r" * (1 + len(names)))


def _mean_and_std(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f" ±{statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4g}{spread}"


def difference_table(
    results: Results, groups: Sequence[GroupSummary], columns: Sequence[str], of: str = ""
) -> Table | None:
    """Return each group less each control, paired by seed, with 95 % t intervals; None without a control.

    They are explored, not tested: no star says that one of so many is more than chance. A control that is another
    one to the last digit is compared with that alone.

    Args:
        results: of the sweep.
        groups: what is compared.
        columns: of errors.
        of: what the columns are, if they are not all.
    """
    rows = []
    for group, control in compared_pairs(results, groups):
        both = bool(group.trials and control.trials)
        found = [results.compare(group, control, column) if both else None for column in columns]
        n_pairs = max((difference.n for difference in found if difference is not None), default=0)
        cells = [format_difference(difference) for difference in found]
        if len(columns) > ROOMY:
            cells = [cell.replace(" [", "\n[").replace(" (one", "\n(one") for cell in cells]
        rows.append((f"{group.name} − {control.name}", f"{n_pairs} of {group.n_seeds}", *cells))
    if not rows:
        return None
    title = "Explored, not tested: difference in points (negative: fewer errors), paired by seed, 95 % interval"
    return Table(
        f"Difference in points: {of}" if of else title,
        ("", "seeds", *columns),
        rows,
        align="l" + "r" * (1 + len(columns)),
    )


def compared_pairs(results: Results, groups: Sequence[GroupSummary]) -> list[tuple[GroupSummary, GroupSummary]]:
    """Return each group with each control, controls with each other once.

    A control that has all errors of one before it is compared with that alone.
    """
    controls = {arm.name for arm in results.space.arms if arm.control}
    doubled = _doubled([group for group in groups if group.name in controls])
    pairs = []
    for place, group in enumerate(groups):
        for control in groups:
            if control.name not in controls or control.name == group.name or control.name in doubled:
                continue
            if group.name in controls and groups.index(control) > place:
                continue  # controls among each other: once
            pairs.append((group, control))
    return pairs


def _doubled(controls: Sequence[GroupSummary]) -> set[str]:
    """Return the controls that have all errors of one before them, as a placebo has those of the plain network."""
    found = set()
    for place, control in enumerate(controls):
        for other in controls[:place]:
            seeds = [[trial.seed for trial in group.trials] for group in (control, other)]
            if control.trials and seeds[0] == seeds[1] and control.errors == other.errors:
                found.add(control.name)
    return found


def format_difference(difference: PairedDifference | None) -> str:
    """Return "−12.3 [−20.1, −4.5]" in percentage points."""
    if difference is None:
        return "–"
    if difference.mean == difference.low == difference.high == 0:
        return "0 (identical)"
    text = f"{100 * difference.mean:+z.1f}"
    if math.isnan(difference.low):
        return f"{text} (one seed)"
    return f"{text} [{100 * difference.low:+z.1f}, {100 * difference.high:+z.1f}]"


def declared_table(tested: Sequence[Finding]) -> Table | None:
    """Return what is declared and how it was tested, a row for each comparison and outcome; None without any."""
    if not tested:
        return None
    rows = []
    for one in tested:
        found = one.evidence
        cells = [
            format_difference(PairedDifference(found.mean, found.low, found.high, found.n) if found else None)
            + " *" * one.is_starred,
            "–" if found is None or found.n < 2 else f"{found.effect_size:.2f}",
            p_text(one.holm_p) if one.is_final else "–",
            f"{found.sign_flip_p:.2g}" if found is not None and one.is_final else "–",
            "–" if math.isinf(one.detectable) else f"{100 * one.detectable:.1f}",
            "–" if math.isinf(one.bound) else f"{100 * one.bound:.1f}",
        ]
        rows.append((one.contrast.name, one.outcome, f"{one.n} of {one.n_seeds}", *cells))
    columns = ("", "by", "seeds", "points", "d", "p (Holm)", "p (flips)", "detects", "at most")
    caption = (
        "points: difference with its 95 % interval; d: mean by standard deviation; detects: the smallest effect that "
        "is found 4 times in 5; at most: the largest that may be there all the same"
        + "; *: it is shown"
        * any(one.is_starred for one in tested)
    )
    return Table("Declared comparisons", columns, rows, align="ll" + "r" * 7, caption=caption)
