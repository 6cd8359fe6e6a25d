"""Whether two methods add up: a 2×2 design as tables and as a picture of its interaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from engine.corruption_kinds import ALL, CLEAN, by_kind
from engine.report.text_tables import Table
from engine.report.views import Plot, Shown, ViewPart
from search_spaces._beside import Measured, difference_text, errors_by_column, measured_beside, where_computed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOTH_LESS_SUM = "both beyond their sum"

BySeed = Mapping[int, float]


def additive_parts(shown: Shown, one: str, other: str) -> Iterator[ViewPart]:
    """Yield the errors of neither method, each and both; what each gains, their sum, both, and the interaction.

    Args:
        shown: a study with an arm for each of the four: "nothing", the methods' names, and "ONE + OTHER".
        one: a method, and the name of its arm.
        other: the other one.
    """
    arms = {"neither": "nothing", one: one, other: other, "both": f"{one} + {other}"}
    kinds = list(by_kind(shown.results.tested))
    columns = [ALL, CLEAN, *(kinds if len(kinds) > 1 else [])]
    groups = {group.name: group for group in shown.results.groups()}
    measured = {name: errors_by_column(groups[arm], columns) for name, arm in arms.items() if arm in groups}
    where = where_computed(shown.results)
    yield measured_beside(f"{one} and {other}: error in %, mean ± std; {where}", measured, columns, None)
    if len(measured) < len(arms):
        return
    yield _gains(measured, columns, one, other, where)
    drawn = {name: {column: measured[name].get(column, {}) for column in (ALL, CLEAN)} for name in measured}
    title = f"{one} and {other}; {where}"
    yield Plot("interaction", lambda: _figure(drawn, one, other, title), _drawn_table(drawn))


def interaction(both: BySeed, one: BySeed, other: BySeed, neither: BySeed) -> tuple[dict[int, float], dict[int, float]]:
    """Return (what both gain together, the sum of what each gains alone) by seed, of the seeds that all four have."""
    seeds = [seed for seed in neither if seed in one and seed in other and seed in both]
    together = {seed: both[seed] - neither[seed] for seed in seeds}
    return together, {seed: one[seed] + other[seed] - 2 * neither[seed] for seed in seeds}


def _gains(measured: Measured, columns: Sequence[str], one: str, other: str, where: str) -> Table:
    rows: dict[str, list[str]] = {
        name: [] for name in (f"{one} alone", f"{other} alone", "sum of the two", "both together", BOTH_LESS_SUM)
    }
    for column in columns:
        neither, first, second, both = (measured[name].get(column, {}) for name in ("neither", one, other, "both"))
        together, summed = interaction(both, first, second, neither)
        nothing = dict.fromkeys(summed, 0.0)
        cells = [
            difference_text(first, neither),
            difference_text(second, neither),
            difference_text(summed, nothing),
            difference_text(together, nothing),
            difference_text(together, summed),
        ]
        for row, cell in zip(rows.values(), cells, strict=True):
            row.append(cell)
    caption = (
        f"{BOTH_LESS_SUM}: the interaction. With its interval around 0 nothing speaks against a gain that is additive, "
        "as far as the interval reaches; above 0 both together gain less than the sum, below 0 more. What is declared "
        "of it, the verdicts test"
    )
    title = f"Is the gain additive? Change of the error in points (negative: fewer errors), paired by seed; {where}"
    lines = [(name, *cells) for name, cells in rows.items()]
    return Table(title, ("", *columns), lines, align="l" + "r" * len(columns), caption=caption)


def _drawn_table(drawn: Measured) -> Table:
    rows = [
        (name, column, str(seed), f"{100 * error:.1f}")
        for name, by_column in drawn.items()
        for column, by_seed in by_column.items()
        for seed, error in by_seed.items()
    ]
    return Table("Interaction as drawn: error in % of each seed", ("", "under", "seed", "error"), rows, align="llrr")


def _figure(drawn: Measured, one: str, other: str, title: str) -> Figure:
    """Return the error without and with the other method, by a line without the first and one with it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=110, layout="constrained")
    figure.suptitle(f"{title}: lines are parallel where the gain is additive", fontsize=9)
    axes = figure.subplots(1, 2, squeeze=False)[0]
    lines = {f"without {one}": ("neither", other), f"with {one}": (one, "both")}
    for axis, column in zip(axes, (ALL, CLEAN), strict=True):
        for colour, (label, (without, having)) in zip(("C0", "C3"), lines.items(), strict=True):
            before, after = drawn[without][column], drawn[having][column]
            seeds = [seed for seed in before if seed in after]
            for seed in seeds:
                axis.plot([0, 1], [100 * before[seed], 100 * after[seed]], color=colour, alpha=0.25, linewidth=0.8)
            if seeds:
                means = [100 * fmean(values[seed] for seed in seeds) for values in (before, after)]
                axis.plot([0, 1], means, color=colour, marker="o", markersize=4, label=label)
        axis.set_xticks([0, 1], [f"without {other}", f"with {other}"])
        axis.set_xlim(-0.2, 1.2)
        axis.set_title("under corruption" if column == ALL else "clean images", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test error in % (thin: each seed)", fontsize=8)
    labelled = next((axis for axis in axes if axis.get_legend_handles_labels()[1]), None)
    if labelled is not None:  # no seed may have two networks that a line is between
        labelled.legend(fontsize=7)
    return figure
