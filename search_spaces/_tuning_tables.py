"""What a study that tunes filters shows as tables: accuracies, and what the choice of the filters changes.

The networks, levels and numbers of images are not the filter paper's, or not given there: what can be compared is the
direction. Its claims are that the most affected filters are better to tune than the least affected ones always, and
than all where there are few noisy images; it has no random control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from engine.metrics import PairedDifference, paired_difference
from engine.report.text_tables import Table, percent_text
from engine.report.views import Shown
from search_spaces._beside import difference_text, where_computed
from search_spaces._selective import CORRUPTION, WHICH
from search_spaces._tunings import (
    Accuracy,
    Condition,
    Course,
    Measure,
    Trials,
    Tunings,
    clean_accuracy,
    corruption_accuracy,
    trained_parameters,
    tuned_accuracy,
)

PAIRS = (("most", "least"), ("most", "random"), ("most", "all"), ("random", "all"))
EXPLORED = (
    "paired by seed, 95 % intervals; explored, not tested: the verdicts are on what was declared, and of 20 intervals "
    "one excludes 0 by chance"
)

Untuned = Mapping[Condition, Accuracy]


def accuracy_tables(shown: Shown, tunings: Tunings, untuned: Untuned, title: str) -> Iterator[Table]:
    """Yield accuracy on images with the distortion tuned on, and what the choice of filters changes (Fig. 5).

    Args:
        shown: the study.
        tunings: its trials.
        untuned: accuracy without tuning.
        title: of what.
    """
    rows: list[tuple[str, ...]] = []
    changes: list[tuple[str, ...]] = []
    before: Condition | None = None
    for condition in tunings.conditions():
        if before is not None and (before.distortion != condition.distortion or len(tunings.numbers(before)) > 1):
            rows.append(())
            changes.append(())
        before = condition
        for n in tunings.numbers(condition):
            by_choice = {which: tuned_accuracy(tunings.trials(tunings.usual(condition, n, which))) for which in WHICH}
            if not any(by_choice.values()):
                continue
            name = f"{condition}, {n:,} images"
            rows.append((name, _percent(untuned[condition]), *map(_percent, by_choice.values())))
            pairs = [difference_text(by_choice[one], by_choice[other]) for one, other in PAIRS]
            changes.append((name, *pairs, difference_text(by_choice["most"], untuned[condition])))
    where = where_computed(shown.results)
    yield _table(f"{title}: accuracy in % on test images so distorted, mean ± std; {where}", ["none", *WHICH], rows)
    heads = [*(f"{one} − {other}" for one, other in PAIRS), "most − none"]
    yield _table(f"{title}: differences in points of accuracy; {where}", heads, changes, EXPLORED)
    yield counts_table(tunings, title)


def counts_table(tunings: Tunings, title: str) -> Table:
    """Return in how many cells of the tables each difference's interval excludes 0."""
    rows: list[tuple[str, ...]] = []
    for one, other in PAIRS:
        found = [
            _difference(*(tuned_accuracy(tunings.trials(tunings.usual(condition, n, which))) for which in (one, other)))
            for condition in tunings.conditions()
            for n in tunings.numbers(condition)
        ]
        known = [change for change in found if change is not None]
        above, below = sum(change.low > 0 for change in known), sum(change.high < 0 for change in known)
        mean = f"{100 * fmean(change.mean for change in known):+.2f}" if known else "–"
        rows.append((f"{one} − {other}", mean, str(len(known)), str(above), str(below)))
    heads = ("mean in points", "cells", "interval above 0", "interval below 0")
    return _table(f"{title}: all cells together", heads, rows, "of 20 intervals one excludes 0 by chance")


def ranking_table(shown: Shown, tunings: Tunings) -> Table | None:
    """Return what tuning the most affected gains by each ranking: distances, and unpaired images."""
    rows: list[tuple[str, ...]] = []
    usual = tunings.usual(Condition("", 0.0), 0, "")
    ranked_otherwise = [t for t in tunings.by_tuning if t[-2:] != usual[-2:] and t[3:-2] == usual[3:-2]]
    for condition, n in dict.fromkeys((tuning.condition, tuning.n_images) for tuning in ranked_otherwise):
        base = tunings.usual(condition, n, "most")
        random = tuned_accuracy(tunings.trials(base._replace(which="random")))
        ours = tuned_accuracy(tunings.trials(base))
        for tuning in (base, *(t for t in ranked_otherwise if (t.condition, t.n_images) == (condition, n))):
            accuracy = tuned_accuracy(tunings.trials(tuning))
            changes = difference_text(accuracy, random), "" if tuning == base else difference_text(accuracy, ours)
            if accuracy:
                rows.append((f"{condition}, {n:,} images: {tuning.ranked_by}", _percent(accuracy), *changes))
    heads = ("accuracy in %", "− random", f"− by {usual.ranked_by}")
    return _some("Which ranking: most affected by", shown, heads, rows)


def transfer_table(shown: Shown, tunings: Tunings) -> Table | None:
    """Return what tuning on one distortion does to clean images, to the same kind of distortion and to the other kind.

    With the fewest and the most noisy images of each condition.
    """
    rows: list[tuple[str, ...]] = []
    for condition in tunings.conditions():
        numbers = tunings.numbers(condition)
        for n in dict.fromkeys((numbers[0], numbers[-1])):
            for which in ("most", "random", "all"):
                trials = tunings.trials(tunings.usual(condition, n, which))
                if trials and tunings.untuned:
                    rows.append((f"{condition}, {n:,} images: {which}", *_changes(tunings, trials, condition)))
    severities = ", ".join(map(str, tunings.base["evaluate.severities"]))
    title = "Tuned on one distortion, tested on gaussian_noise and gaussian_blur"
    heads = ("clean", "the same kind", "the other kind")
    return _some(f"{title} (severities {severities}): change from no tuning in points of accuracy", shown, heads, rows)


def _changes(tunings: Tunings, trials: Trials, condition: Condition) -> list[str]:
    measures: list[Measure] = [
        clean_accuracy,
        lambda of: corruption_accuracy(of, CORRUPTION[condition.distortion]),
        lambda of: corruption_accuracy(of, condition.other),
    ]
    return [difference_text(measure(trials), measure(tunings.untuned)) for measure in measures]


def layers_table(shown: Shown, tunings: Tunings) -> Table | None:
    """Return one tuned layer against several."""
    rows: list[tuple[str, ...]] = []
    usual = tunings.usual(Condition("", 0.0), 0, "").layers
    for tuning in tunings.by_tuning:
        if tuning.layers == usual:
            continue
        several, one = (tuned_accuracy(tunings.trials(t)) for t in (tuning._replace(layers=usual), tuning))
        head = f"{tuning.condition}, {tuning.n_images:,} images: {tuning.which}"
        rows.append((head, tuning.layers, _percent(one), _percent(several), difference_text(one, several)))
    heads = ("layers", "accuracy in %", f"layers: {usual}", "difference")
    return _some("One layer against several: differences in points of accuracy", shown, heads, rows)


def selection_table(shown: Shown, tunings: Tunings) -> Table | None:
    """Return what it changes that other noisy images choose the epoch, and how many labelled ones each way used."""
    rows: list[tuple[str, ...]] = []
    usual = tunings.usual(Condition("", 0.0), 0, "").select_by
    for tuning in tunings.by_tuning:
        if tuning.select_by == usual:
            continue
        base = tuning._replace(select_by=usual)
        ours, theirs = (tuned_accuracy(tunings.trials(t)) for t in (base, tuning))
        labelled = [str(budget.labelled) if (budget := tunings.budget(t)) else "–" for t in (base, tuning)]
        head = f"{tuning.condition}, {tuning.n_images:,} images: {tuning.which}"
        cells = (_percent(ours), _percent(theirs), difference_text(theirs, ours))
        rows.append((head, tuning.select_by, *labelled, *cells))
    measured = (f"labelled, {usual}", "labelled", f"accuracy in %, {usual}", "accuracy in %")
    return _some("Which noisy images choose the epoch", shown, ("selected by", *measured, "difference"), rows)


def methods_table(shown: Shown, tunings: Tunings) -> Table | None:
    """Return what selected filters are compared with: accuracies, differences, and how many parameters are trained."""
    rows: list[tuple[str, ...]] = []
    usual = tunings.usual(Condition("", 0.0), 0, "").method
    compared = [tuning for tuning in tunings.by_tuning if tuning.method != usual]
    for condition, n in dict.fromkeys((tuning.condition, tuning.n_images) for tuning in compared):
        base = tunings.usual(condition, n, "most")
        ours = tuned_accuracy(tunings.trials(base))
        theirs = [tuning for tuning in compared if (tuning.condition, tuning.n_images) == (condition, n)]
        for tuning in (base, base._replace(which="all"), *theirs):
            trials = tunings.trials(tuning)
            if trials:
                name = f"{tuning.which} filters" if tuning.method == usual else tuning.method
                accuracy = tuned_accuracy(trials)
                change = "" if tuning == base else difference_text(accuracy, ours)
                n_trained = f"{trained_parameters(trials, shown):,}"
                rows.append((f"{condition}, {n:,} images: {name}", _percent(accuracy), change, n_trained))
    return _some("Other ways to tune", shown, ("accuracy in %", "− most filters", "parameters"), rows)


def convergence_table(
    shown: Shown, n_images: int, found: Mapping[Condition, Mapping[str, tuple[Course, int]]]
) -> Table:
    """Return accuracy on validation images after some epochs, the best and the kept epoch, and what an epoch takes.

    Args:
        shown: the study.
        n_images: how many noisy images were tuned on.
        found: {condition: {choice: its course, and how many parameters it trains}}.
    """
    rows: list[tuple[str, ...]] = []
    for condition, by_choice in found.items():
        for which, (course, n_trained) in by_choice.items():
            last = len(course.accuracy)
            after = [f"{epoch}: {100 * fmean(course.accuracy[epoch - 1]):.1f}" for epoch in (1, (last + 1) // 2, last)]
            by_seed = list(zip(*course.accuracy, strict=True))
            best = [values.index(max(values)) + 1 for values in by_seed]
            times = f"{1000 * fmean(course.seconds[-1]) / last:.0f}"
            kept = f"{fmean(course.kept):.1f}"
            rows.append((f"{condition}: {which}", *after, f"{fmean(best):.1f}", kept, f"{n_trained:,}", times))
        rows.append(())
    heads = ("first epoch", "middle", "last", "best epoch", "kept epoch", "parameters", "ms an epoch")
    title = f"Convergence with {n_images:,} images: accuracy in % on noisy validation images, mean over the seeds"
    caption = (
        "validation images only watch: kept is the epoch that is best on the noisy images that select. Times include "
        "the measuring, and other work on the machine stretches them"
    )
    return _table(f"{title}; {where_computed(shown.results)}", heads, rows, caption)


def _percent(accuracy: Accuracy) -> str:
    return percent_text(list(accuracy.values()))


def _difference(mine: Accuracy, theirs: Accuracy) -> PairedDifference | None:
    seeds = [seed for seed in mine if seed in theirs]
    return paired_difference([mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]) if seeds else None


def _some(title: str, shown: Shown, heads: Sequence[str], rows: list[tuple[str, ...]]) -> Table | None:
    """Return a table; None where there is nothing in it."""
    return _table(f"{title}; {where_computed(shown.results)}", heads, rows, EXPLORED) if rows else None


def _table(title: str, heads: Sequence[str], rows: list[tuple[str, ...]], caption: str = "") -> Table:
    lines = rows[:-1] if rows and not rows[-1] else rows
    return Table(title, ("", *heads), lines, align="l" + "r" * len(heads), caption=caption)
