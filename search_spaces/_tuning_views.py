"""What the views of studies that tune filters have in common: tables, then the pictures with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from statistics import fmean

from engine.report.text_tables import Table
from engine.report.views import Plot, Shown, ViewPart
from search_spaces._beside import where_computed
from search_spaces._selective import UNITS, WHICH
from search_spaces._tuning_figures import Curves, convergence_figure, curves_figure, curves_of, interval
from search_spaces._tuning_tables import (
    Untuned,
    accuracy_tables,
    convergence_table,
    layers_table,
    methods_table,
    ranking_table,
    selection_table,
    transfer_table,
)
from search_spaces._tunings import (
    Condition,
    Course,
    Tunings,
    course_of,
    trained_parameters,
    tuned_accuracy,
    untuned_accuracy,
)


def table_parts(shown: Shown, title: str) -> Iterator[ViewPart]:
    """Yield how accurate each choice of filters makes the network, and what the choice changes."""
    tunings = Tunings(shown.results)
    yield from accuracy_tables(shown, tunings, untuned_accuracy(shown, tunings), title)


def accuracy_parts(shown: Shown, title: str) -> Iterator[ViewPart]:
    """Yield ``table_parts``, and accuracy and differences against the number of noisy images as pictures (Fig. 5)."""
    tunings = Tunings(shown.results)
    untuned = untuned_accuracy(shown, tunings)
    yield from accuracy_tables(shown, tunings, untuned, title)
    yield from _curve_plots(shown, tunings, untuned, title)


def all_parts(shown: Shown, title: str) -> Iterator[ViewPart]:
    """Yield all that can be said of a study that tunes filters; what it has no trials of is left out."""
    yield from accuracy_parts(shown, title)
    tunings = Tunings(shown.results)
    for make in (ranking_table, transfer_table, layers_table, selection_table, methods_table):
        found = make(shown, tunings)
        if found is not None:
            yield found
    yield from convergence_parts(shown, title)


def convergence_parts(shown: Shown, title: str) -> Iterator[ViewPart]:
    """Yield how trainings went, epoch by epoch, with the largest number of noisy images, as a table and a picture.

    Of each distortion the conditions above the mildest are shown, where there are several.
    """
    tunings = Tunings(shown.results)
    n_images, found = _courses(shown, tunings)
    if not found:
        return
    yield convergence_table(shown, n_images, found)
    courses = {condition: {which: one[0] for which, one in by.items()} for condition, by in found.items()}
    over = f"{title}, {n_images:,} images: accuracy on noisy validation images, mean; {where_computed(shown.results)}"
    yield Plot("convergence", partial(convergence_figure, courses, n_images, over), _course_table(courses))


def _courses(shown: Shown, tunings: Tunings) -> tuple[int, dict[Condition, dict[str, tuple[Course, int]]]]:
    found: dict[Condition, dict[str, tuple[Course, int]]] = {}
    conditions = tunings.conditions()
    n_images = max((n for condition in conditions for n in tunings.numbers(condition)), default=0)
    for condition in conditions:
        levels = {other.level for other in conditions if other.distortion == condition.distortion}
        if len(levels) > 1 and condition.level == min(levels):
            continue
        by_choice = {which: tunings.trials(tunings.usual(condition, n_images, which)) for which in WHICH}
        if all(by_choice.values()):
            found[condition] = {
                which: (course_of(trials, shown), trained_parameters(trials, shown))
                for which, trials in by_choice.items()
            }
    return n_images, found


def _course_table(courses: Mapping[Condition, Mapping[str, Course]]) -> Table:
    rows = []
    for condition, by_choice in courses.items():
        for which, course in by_choice.items():
            for epoch, (values, seconds) in enumerate(zip(course.accuracy, course.seconds, strict=True), start=1):
                cells = [f"{value:.1f}" for value in interval(values)]
                rows.append((str(condition), which, str(epoch), f"{fmean(seconds):.2f}", *cells))
    heads = ("tuned on", "filters", "epoch", "seconds", "accuracy in %", "low", "high")
    return Table("Convergence as drawn, 95 % intervals", heads, rows, align="llrrrrr")


def _curve_plots(shown: Shown, tunings: Tunings, untuned: Untuned, title: str) -> Iterator[Plot]:
    accuracy = curves_of(tunings, _accuracies, {which: which for which in WHICH})
    if not accuracy:
        return
    differences = curves_of(tunings, _gains, {f"most − {other}": other for other in WHICH[1:]})
    over = f"{where_computed(shown.results)}, 95 % intervals"
    none = {condition: 100 * fmean(shares.values()) for condition, shares in untuned.items() if shares}
    yield Plot(
        "accuracy",
        partial(
            curves_figure,
            accuracy,
            UNITS,
            title=f"{title}: accuracy after tuning on noisy images, mean; {over}",
            measure="test accuracy in %",
            level=none,
            level_label="none",
        ),
        _curve_table("Accuracy in % as drawn", accuracy),
    )
    yield Plot(
        "differences",
        partial(
            curves_figure,
            differences,
            UNITS,
            title=f"{title}: what the choice of filters changes, paired by seed; {over}",
            measure="difference in points",
            level=dict.fromkeys(differences, 0.0),
            level_label="no difference",
        ),
        _curve_table("Differences in points as drawn", differences),
    )


def _curve_table(title: str, found: Mapping[Condition, Curves]) -> Table:
    rows = [
        (str(condition), f"{n:,}", label, *(f"{value:.1f}" for value in ends))
        for condition, curves in found.items()
        for label, by_number in curves.items()
        for n, ends in by_number.items()
    ]
    heads = ("tuned on", "images", "filters", "mean", "low", "high")
    return Table(f"{title}, 95 % intervals", heads, rows, align="lrlrrr")


def _accuracies(tunings: Tunings, condition: Condition, n_images: int, which: str) -> list[float]:
    """Return the accuracy of each seed."""
    return list(tuned_accuracy(tunings.trials(tunings.usual(condition, n_images, which))).values())


def _gains(tunings: Tunings, condition: Condition, n_images: int, other: str) -> list[float]:
    """Return, for each common seed, how much more accurate tuning the most affected filters is than another choice."""
    most, others = (
        tuned_accuracy(tunings.trials(tunings.usual(condition, n_images, which))) for which in ("most", other)
    )
    return [most[seed] - others[seed] for seed in most if seed in others]
