"""What studies of training recipes show: errors, and seconds of training.

Seconds are the processor's, of all its cores: other work on the machine stretches the clock's.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from engine.report.views import Shown, ViewPart, register_view

VIEW = "recipes"
FULL, FAST = "full", "fast"
COLUMNS = ("clean", "gaussian_noise")


@register_view(VIEW)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield errors and seconds of training by arm, and what the fast recipe changes."""
    from engine.report.text_tables import Table, percent_text
    from search_spaces._beside import difference_text, errors_by_column, where_computed

    errors, seconds = {}, {}
    for group in shown.results.groups():
        if group.trials:
            errors[group.name] = errors_by_column(group, COLUMNS)
            seconds[group.name] = {
                trial.seed: float(shown.artifact(trial, "pretrain").manifest["cpu_seconds"]) for trial in group.trials
            }
    rows = [
        (arm, *(percent_text(list(by.values())) for by in errors[arm].values()), f"{fmean(seconds[arm].values()):.1f}")
        for arm in errors
    ]
    if {FULL, FAST} <= errors.keys():
        common = [seed for seed in seconds[FAST] if seed in seconds[FULL]]
        changes = [difference_text(errors[FAST][column], errors[FULL][column]) for column in COLUMNS]
        spent = [sum(seconds[arm][seed] for seed in common) for arm in (FULL, FAST)]
        rows.append((f"{FAST} − {FULL}", *changes, f"{spent[0] / spent[1]:.1f} times faster" if common else "–"))
    title = f"Test error in %, mean ± std, and the training's seconds of the processor; {where_computed(shown.results)}"
    yield Table(title, ("", *COLUMNS, "seconds"), rows, align="lrrr")
