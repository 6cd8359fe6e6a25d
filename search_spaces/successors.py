"""What came after the two papers, beside them: push–pull layers of 2020 and 2024, and rival ways to tune a network.

Every network, plain or with a first push–pull layer of either paper, trained as it is, on noise or by AugMix, is tuned
in every way on one kind of noise: the most affected quarter of the filters, as many random ones, the first block,
everything, everything by Auto-RGN's rates; and, without a label, batch normalisation alone, by its statistics and by
TENT. The corruption that is tuned on is kept apart from those that are not. (The noise that networks are trained on is
of its kind.) At full scale ResNet-20 on CIFAR-10 by the push–pull paper's recipe; ``--dataset digits`` is small, and
without augmentation.

One learning rate for all ways would decide between them. Each has its own, which ``successors-rates`` found on other
seeds, on plain networks on digits; for other images it has to be run there, and the rates changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from engine.corruption_kinds import kind_of
from engine.errors import InputError
from engine.report.groups import GroupSummary
from engine.report.text_tables import Table
from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Arm, Comparison, LeaveOneOut, Part, Space
from search_spaces._successors import (
    AUGMENTED,
    LABELLED,
    NETWORKS,
    RATE,
    TUNED_ON,
    UNLABELLED,
    UNTUNED,
    base_on_cifar,
    base_on_digits,
)

NAME = "successors"
RATES = {"most": 3e-3, "random": 3e-3, "first block": 3e-3, "all": 1e-3, "auto-rgn": 3e-3, "tent": 1e-2}
"""{way of tuning: its learning rate}: what ``successors-rates`` says on digits."""

TUNINGS: dict[str, Mapping[str, Any]] = {UNTUNED: {"finetune.which": "none"}, **LABELLED, **UNLABELLED}
COLUMNS = ("clean", "tuned on", "its kind", "other kinds")


def _settings(network: str, tuning: str, added: str = "") -> dict[str, Any]:
    rate = {RATE: RATES[tuning]} if tuning in RATES else {}
    return {**NETWORKS[network], **AUGMENTED[added], **TUNINGS[tuning], **rate}


def _arm(network: str, tuning: str, added: str = "") -> str:
    return f"{network}{added}, {tuning}"


def _instead(network: str, tuning: str) -> dict[str, Any]:
    """Return the settings of an arm as changes of the full method's, what that sets and the arm does not included."""
    unset = {path: _BASE[path] for path in _FULL}
    return unset | _settings(network, tuning)


_FULL = _settings("push-pull 2024", "most")
_BASE = base_on_cifar().flat()
_PLACEBO = {"push_pull.variant": "2020", "push_pull.h": 1.0, "push_pull.alpha": 1.0}
_KINDS = ("noise", "blur")
"""Of what is declared: the kind that is tuned on, and one that is not."""

_INHIBITED = [network for network in NETWORKS if network != "plain"]
_TUNED = [tuning for tuning in TUNINGS if tuning != UNTUNED]
_ADDED = [added for added in AUGMENTED if added]


def _arms(augmented: Iterable[str]) -> tuple[Arm, ...]:
    """Return every network, trained in some ways, tuned in every way."""
    return tuple(
        Arm(
            _arm(network, tuning, added),
            _settings(network, tuning, added),
            control=network == "plain" and tuning == UNTUNED and not added,
        )
        for added in augmented
        for network in NETWORKS
        for tuning in TUNINGS
    )


_METHOD = LeaveOneOut(
    name="method",
    full=_FULL,
    parts=(
        Part("push-pull", _instead("plain", "most"), control=_PLACEBO),
        Part("selection", _instead("push-pull 2024", "all"), control=_instead("push-pull 2024", "random")),
        Part("tuning", _instead("push-pull 2024", UNTUNED)),
    ),
    outcomes=("noise",),
)
_COMPARISONS = (
    *(
        Comparison(_arm("plain", tuning), _arm("plain", "statistics"), _KINDS)
        for tuning in _TUNED
        if tuning != "statistics"
    ),
    *(Comparison(_arm("plain", "most"), _arm("plain", tuning), ("noise",)) for tuning in LABELLED if tuning != "most"),
    *(Comparison(_arm(network, UNTUNED), _arm("plain", UNTUNED), _KINDS) for network in _INHIBITED),
    Comparison(_arm("push-pull 2024", UNTUNED), _arm("push-pull 2020", UNTUNED), _KINDS),
)
_OF_AUGMENTED = (
    *(Comparison(_arm("plain", UNTUNED, added), _arm("plain", UNTUNED), _KINDS) for added in _ADDED),
    *(Comparison(_arm("push-pull 2020", UNTUNED, added), _arm("plain", UNTUNED, added), _KINDS) for added in _ADDED),
    *(Comparison(_arm("plain", "most", added), _arm("plain", UNTUNED, added), ("noise",)) for added in _ADDED),
)

SPACE = Space(
    name=NAME,
    description="Which push–pull layer, training and tuning hold up best: on what was tuned on, and on all else?",
    base=base_on_cifar(),
    arms=_arms(AUGMENTED),
    ablations=(_METHOD,),
    comparisons=(*_COMPARISONS, *_OF_AUGMENTED),
    n_seeds=6,
    view=NAME,
)

ON = {"digits": replace(SPACE, base=base_on_digits(), arms=_arms(("",)), comparisons=_COMPARISONS)}


@register_view(NAME)
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
            (_arm(network, tuning, added), _arm(network, UNTUNED, added))
            for added in AUGMENTED
            for network in NETWORKS
            for tuning in _TUNED
        ],
        COLUMNS,
        None,
        "explored, not tested: the verdicts are on what was declared",
    )
    yield changes_beside(
        f"What a push–pull layer changes, in points, paired by seed; {where}",
        measured,
        [
            (_arm(network, tuning, added), _arm("plain", tuning, added))
            for added in AUGMENTED
            for network in _INHIBITED
            for tuning in TUNINGS
        ],
        COLUMNS,
        None,
        "explored, not tested",
    )
    augmented = [
        (_arm(network, tuning, added), _arm(network, tuning))
        for added in _ADDED
        for network in NETWORKS
        for tuning in TUNINGS
    ]
    if any(row in measured for row, _ in augmented):
        title = f"What augmentation changes, in points, paired by seed; {where}"
        yield changes_beside(title, measured, augmented, COLUMNS, None, "explored, not tested")
    yield Table(
        "What each way of tuning has used",
        ("", "labelled noisy images", "without labels", "learning rate"),
        [(name, *_used(groups.get(_arm("plain", name)), name)) for name in TUNINGS],
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
        means = (trial.errors["test"]["clean"], tuned, fmean(own.values()), fmean(others))
        for column, mean in zip(COLUMNS, means, strict=True):
            found[column][trial.seed] = mean
    return found


def _used(group: GroupSummary | None, tuning: str) -> tuple[str, str, str]:
    budget = group.trials[0].noisy_budget if group is not None and group.trials else None
    labelled, unlabelled = ("–", "–") if budget is None else (str(budget.labelled), str(budget.unlabelled))
    return labelled, unlabelled, f"{RATES[tuning]:g}" if tuning in RATES else "–"
