"""Which learning rate suits each way of tuning of the space ``successors``: found before, on seeds of its own.

The best rate of few parameters is ten times that of all, so that one rate for all arms would decide what they come to.
Networks are judged by validation images under the very noise that they were tuned on, of another draw: what is found
here looks at more labels than the trials of ``successors`` do, and at none of their seeds (give it another ``--seed``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

from engine.report.text_tables import Table
from engine.report.views import Shown, ViewPart, register_view
from engine.settings import TrialConfig
from engine.spaces import Arm, Space
from search_spaces._successors import NETWORKS, RATE, STEPPED, TUNED_ON, base_on_cifar, base_on_digits

NAME = "successors-rates"
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def judged_by_noise(config: TrialConfig, severity: int) -> TrialConfig:
    """Return a base that is judged by the noise that is tuned on alone, that of a severity."""
    judged = {"evaluate.corruptions": [TUNED_ON], "evaluate.objective": [TUNED_ON], "evaluate.severities": [severity]}
    return config.with_settings(judged)


SPACE = Space(
    name=NAME,
    description="Which learning rate suits each way of tuning?",
    base=judged_by_noise(base_on_cifar(), 5),
    arms=tuple(
        Arm(f"{tuning} at {rate:g}", {**NETWORKS["plain"], **settings, RATE: rate})
        for tuning, settings in STEPPED.items()
        for rate in RATES
    ),
    n_seeds=3,
    view=NAME,
)

ON = {"digits": replace(SPACE, base=judged_by_noise(base_on_digits(), 4))}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield the mean error on noisy validation images of each way of tuning at each rate, and its best rate."""
    errors = {
        group.name: fmean(trial.errors["objective"] for trial in group.trials if trial.errors is not None)
        for group in shown.results.groups()
        if group.trials
    }
    rows = []
    for tuning in STEPPED:
        found = {rate: errors.get(f"{tuning} at {rate:g}") for rate in RATES}
        known = {rate: error for rate, error in found.items() if error is not None}
        best = min(known, key=lambda rate: (known[rate], rate)) if known else None
        cells = ["–" if error is None else f"{100 * error:.1f}" for error in found.values()]
        rows.append((tuning, *cells, "–" if best is None else f"{best:g}"))
    yield Table(
        "Error in % on validation images under the noise that is tuned on, mean over seeds, by learning rate",
        ("", *(f"{rate:g}" for rate in RATES), "best"),
        rows,
        align="l" + "r" * (len(RATES) + 1),
    )
