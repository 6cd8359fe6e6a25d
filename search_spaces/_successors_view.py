"""How the spaces of what came after are shown: what was tuned on apart from its kind, and that from all else."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from engine.corruption_kinds import kind_of
from engine.errors import InputError
from engine.report.groups import GroupSummary
from engine.report.text_tables import Table
from engine.report.views import Shown, ViewPart, register_view
from search_spaces._successors import AUGMENTED, NETWORKS, RATE, TUNED_ON, UNTUNED
from search_spaces._successors_arms import ADDED, INHIBITED, TUNED, TUNINGS, arm_name

VIEW = "successors"
COLUMNS = ("clean", "tuned on", "its kind", "other kinds")


@register_view(VIEW)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield errors with what was tuned on kept apart, and what each tuning and each layer changes."""
    from search_spaces._beside import changes_beside, measured_beside, where_computed

    groups = {group.name: group for group in shown.results.groups()}
    severity = tuned_severity(shown)
    measured = {name: errors_apart(group, severity) for name, group in groups.items() if group.trials}
    where = where_computed(shown.results)
    note = (
        f"tuned on: {TUNED_ON} of severity {severity}; its kind: the other noises, and the other severities of it; "
        "other kinds: all corruptions that are no noise"
    )
    yield measured_beside(f"Error in %, mean ± standard deviation; {where}", measured, COLUMNS, None, note)
    yield changes_beside(
        f"What a tuning changes, in points, paired by seed; {where}",
        measured,
        [
            (arm_name(network, tuning, added), arm_name(network, UNTUNED, added))
            for added in AUGMENTED
            for network in NETWORKS
            for tuning in TUNED
        ],
        COLUMNS,
        None,
        "explored, not tested: the verdicts are on what was declared",
    )
    yield changes_beside(
        f"What a push–pull layer changes, in points, paired by seed; {where}",
        measured,
        [
            (arm_name(network, tuning, added), arm_name("plain", tuning, added))
            for added in AUGMENTED
            for network in INHIBITED
            for tuning in TUNINGS
        ],
        COLUMNS,
        None,
        "explored, not tested",
    )
    augmented = [
        (arm_name(network, tuning, added), arm_name(network, tuning))
        for added in ADDED
        for network in NETWORKS
        for tuning in TUNINGS
    ]
    if any(row in measured for row, _ in augmented):
        title = f"What augmentation changes, in points, paired by seed; {where}"
        yield changes_beside(title, measured, augmented, COLUMNS, None, "explored, not tested")
    rates = {
        tuning: f"{arm.settings[RATE]:g}"
        for arm in shown.results.space.arms
        for tuning in TUNINGS
        if arm.name == arm_name("plain", tuning) and RATE in arm.settings
    }
    yield Table(
        "What each way of tuning has used",
        ("", "labelled noisy images", "without labels", "learning rate"),
        [(tuning, *_used(groups.get(arm_name("plain", tuning))), rates.get(tuning, "–")) for tuning in TUNINGS],
        align="lrrr",
    )


def tuned_severity(shown: Shown) -> int:
    """Return the severity of the corruption that is tuned on whose level is the distortion's."""
    from engine.corruptions import SEVERITY_TABLES

    base = shown.results.space.base
    table = "digits" if base.data.name == "digits" else "cifar-c"
    levels = [255 * float(value) for value in SEVERITY_TABLES[table][TUNED_ON]]
    return min(range(1, 6), key=lambda severity: abs(levels[severity - 1] - base.distortion.level))


def errors_apart(group: GroupSummary, severity: int) -> dict[str, dict[int, float]]:
    """Return {column: {seed: test error}}, what was tuned on apart from its kind, and that from all others.

    Args:
        group: an arm's trials.
        severity: of the corruption that is tuned on.
    """
    found: dict[str, dict[int, float]] = {column: {} for column in COLUMNS}
    for trial in group.trials:
        assert trial.errors is not None
        if (TUNED_ON, severity) not in trial.table:
            raise InputError(
                f"{TUNED_ON} of severity {severity}, which is tuned on, was not tested (`evaluate.severities`)"
            )
        own = {cell: error for cell, error in trial.table.items() if kind_of(cell[0]) == kind_of(TUNED_ON)}
        tuned = own.pop((TUNED_ON, severity))
        others = [error for cell, error in trial.table.items() if kind_of(cell[0]) != kind_of(TUNED_ON)]
        means = (trial.test["clean"], tuned, fmean(own.values()), fmean(others))
        for column, mean in zip(COLUMNS, means, strict=True):
            found[column][trial.seed] = mean
    return found


def _used(group: GroupSummary | None) -> tuple[str, str]:
    budget = group.trials[0].noisy_budget if group is not None and group.trials else None
    return ("–", "–") if budget is None else (str(budget.labelled), str(budget.unlabelled))
