"""Does tuning the filters that a distortion affects most beat tuning the least affected, random ones, or all?

The tables and figures of the selective fine-tuning paper (Fig. 5 and section 5.2), of a finished sweep. The paper's
networks, levels and numbers of images are others, or not given: what can be compared is the direction. Its claims are
that "most" beats "least" always, and "all" where there are few noisy images; it has no random control.

Run: python -m pipelines.sweep --space selective-digits --n-trials 735 --study selective-digits
     python -m studies.selective --study selective-digits --figures .
     python -m pipelines.sweep --space selective-cifar --n-trials 335 --study selective-cifar --dataset cifar10
     python -m studies.selective --study selective-cifar --figures .
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch

from engine.errors import InputError
from engine.figures.saving import save_figure
from engine.stages import prepare_data
from engine.store import Store
from search_spaces._selective import UNITS, WHICH
from studies._selective import (
    CORRUPTION,
    Accuracy,
    Condition,
    Course,
    Study,
    clean_accuracy,
    corruption_accuracy,
    course_of,
    trained_parameters,
    tuned_accuracy,
    untuned_accuracy,
)
from studies.common import difference, difference_text, load, mean_and_std, parser, print_table

SPACES = ("selective-digits", "selective-cifar")
PAIRS = (("most", "least"), ("most", "random"), ("most", "all"), ("random", "all"))

Untuned = Mapping[Condition, Accuracy]


def print_accuracies(study: Study, untuned: Untuned) -> None:
    """Print Fig. 5 as tables: accuracy and paired differences by condition and number of noisy images."""
    for condition in study.conditions():
        rows, changes = [], []
        for n in study.numbers(condition):
            by_choice = {which: tuned_accuracy(study.trials(study.usual(condition, n, which))) for which in WHICH}
            if not all(by_choice.values()):
                continue
            rows.append([str(n), *map(mean_and_std, by_choice.values())])
            pairs = [difference_text(by_choice[one], by_choice[other]) for one, other in PAIRS]
            changes.append([str(n), *pairs, difference_text(by_choice["most"], untuned[condition])])
        title = f"{condition}: accuracy in % on test images so distorted, mean ± std over {len(study.seeds)} seeds"
        print_table(f"{title}; none {mean_and_std(untuned[condition])}", ["images", *WHICH], rows)
        header = ["images", *(f"{one} − {other}" for one, other in PAIRS), "most − none"]
        print_table(f"{condition}: differences in points, paired by seed, 95 % interval; * excludes 0", header, changes)


def print_verdict(study: Study) -> None:
    """Print in how many cells of the tables each difference's interval excludes 0; one in 20 would by chance alone."""
    rows = []
    for one, other in PAIRS:
        found = [
            difference(*(tuned_accuracy(study.trials(study.usual(condition, n, which))) for which in (one, other)))
            for condition in study.conditions()
            for n in study.numbers(condition)
        ]
        known = [change for change in found if change is not None]
        above, below = sum(change.low > 0 for change in known), sum(change.high < 0 for change in known)
        mean = fmean(change.mean for change in known) if known else float("nan")
        rows.append([f"{one} − {other}", f"{100 * mean:+.2f}", str(len(known)), str(above), str(below)])
    header = ["", "mean in points", "cells", "interval above 0", "below 0"]
    print_table("All cells of the tables above; of 20 intervals one excludes 0 by chance", header, rows)


def print_rankings(study: Study) -> None:
    """Print what tuning the most affected gains by each ranking: distances, and unpaired images."""
    rows = []
    usual = study.usual(Condition("", 0.0), 0, "")
    ranked_otherwise = [t for t in study.tunings if t[-2:] != usual[-2:] and t[3:-2] == usual[3:-2]]
    for condition, n in dict.fromkeys((tuning.condition, tuning.n_images) for tuning in ranked_otherwise):
        base = study.usual(condition, n, "most")
        random = tuned_accuracy(study.trials(base._replace(which="random")))
        ours = tuned_accuracy(study.trials(base))
        for tuning in (base, *(t for t in ranked_otherwise if (t.condition, t.n_images) == (condition, n))):
            accuracy = tuned_accuracy(study.trials(tuning))
            changes = difference_text(accuracy, random), "" if tuning == base else difference_text(accuracy, ours)
            if accuracy:
                rows.append([f"{condition}, {n} images: {tuning.ranked_by}", mean_and_std(accuracy), *changes])
    if rows:
        header = ["most affected by", "accuracy in %", "− random", f"− by {usual.ranked_by}"]
        print_table("Which ranking: differences in points, paired by seed; * excludes 0", header, rows)


def print_transfer(study: Study) -> None:
    """Print what tuning on one distortion does to clean images, to the same kind of distortion and to the other kind.

    With the fewest and the most noisy images of each condition.
    """
    rows = []
    for condition in study.conditions():
        numbers = study.numbers(condition)
        for n in dict.fromkeys((numbers[0], numbers[-1])):
            for which in ("most", "random", "all"):
                trials = study.trials(study.usual(condition, n, which))
                if trials:
                    rows.append([f"{condition}, {n} images: {which}", *_changes(study, trials, condition)])
    header = ["tuned on", "clean", "same kind", "the other kind"]
    severities = ", ".join(map(str, study.base["evaluate.severities"]))
    title = "Tuned on one distortion, tested on gaussian_noise and gaussian_blur (severities "
    title += f"{severities}): change from no tuning in points, paired by seed; * excludes 0"
    if rows and study.untuned:
        print_table(title, header, rows)


def _changes(study: Study, trials: Mapping, condition: Condition) -> list[str]:
    measures: list[Callable[[Mapping], Accuracy]] = [
        clean_accuracy,
        lambda of: corruption_accuracy(of, CORRUPTION[condition.distortion]),
        lambda of: corruption_accuracy(of, condition.other),
    ]
    return [difference_text(measure(trials), measure(study.untuned)) for measure in measures]


def print_layers(study: Study) -> None:
    """Print one tuned layer against several."""
    rows = []
    usual = study.usual(Condition("", 0.0), 0, "").layers
    for tuning in study.tunings:
        if tuning.layers == usual:
            continue
        several, one = (tuned_accuracy(study.trials(t)) for t in (tuning._replace(layers=usual), tuning))
        head = f"{tuning.condition}, {tuning.n_images} images: {tuning.which}"
        rows.append([head, tuning.layers, mean_and_std(one), mean_and_std(several) if several else "–"])
        rows[-1].append(difference_text(one, several))
    if rows:
        header = ["", "layers", "accuracy in %", f"layers: {usual}", "difference"]
        print_table("One layer against several: differences in points, paired by seed; * excludes 0", header, rows)


def print_selection(study: Study) -> None:
    """Print what it changes that other noisy images choose the epoch, and how many labelled ones each way used."""
    rows = []
    usual = study.usual(Condition("", 0.0), 0, "").select_by
    for tuning in study.tunings:
        if tuning.select_by == usual:
            continue
        base = tuning._replace(select_by=usual)
        ours, theirs = (tuned_accuracy(study.trials(t)) for t in (base, tuning))
        labelled = [str(budget.labelled) if (budget := study.budget(t)) else "–" for t in (base, tuning)]
        head = f"{tuning.condition}, {tuning.n_images} images: {tuning.which}"
        accuracies = [mean_and_std(ours) if ours else "–", mean_and_std(theirs)]
        rows.append([head, tuning.select_by, *labelled, *accuracies, difference_text(theirs, ours)])
    if rows:
        measured = [f"labelled, {usual}", "labelled", f"accuracy in %, {usual}", "accuracy in %"]
        header = ["", "selected by", *measured, "difference"]
        print_table("Which noisy images choose the epoch: differences in points, paired by seed", header, rows)


def print_methods(study: Study, store: Store) -> None:
    """Print what selected filters are compared with: accuracies, differences, and how many parameters are trained."""
    rows = []
    usual = study.usual(Condition("", 0.0), 0, "").method
    compared = [tuning for tuning in study.tunings if tuning.method != usual]
    for condition, n in dict.fromkeys((tuning.condition, tuning.n_images) for tuning in compared):
        base = study.usual(condition, n, "most")
        ours = tuned_accuracy(study.trials(base))
        theirs = [tuning for tuning in compared if (tuning.condition, tuning.n_images) == (condition, n)]
        for tuning in (base, base._replace(which="all"), *theirs):
            trials = study.trials(tuning)
            if trials:
                name = f"{tuning.which} filters" if tuning.method == usual else tuning.method
                accuracy = tuned_accuracy(trials)
                change = "" if tuning == base else difference_text(accuracy, ours)
                n_trained = f"{trained_parameters(trials, store):,}"
                rows.append([f"{condition}, {n} images: {name}", mean_and_std(accuracy), change, n_trained])
    if rows:
        header = ["tuned", "accuracy in %", "− most filters", "parameters"]
        print_table("Other ways to tune: differences in points, paired by seed; * excludes 0", header, rows)


def courses(study: Study, store: Store) -> tuple[int, dict[Condition, dict[str, Course]]]:
    """Return the largest number of noisy images that all choices were tuned on, and the courses with it.

    Of each distortion the conditions above the mildest are shown, where there are several.
    """
    found: dict[Condition, dict[str, Course]] = {}
    conditions = study.conditions()
    n_images = max(n for condition in conditions for n in study.numbers(condition))
    for condition in conditions:
        mildest = min(other.level for other in conditions if other.distortion == condition.distortion)
        if condition.level == mildest and len({c.level for c in conditions if c[0] == condition[0]}) > 1:
            continue
        by_choice = {which: study.trials(study.usual(condition, n_images, which)) for which in WHICH}
        if all(by_choice.values()):
            found[condition] = {which: course_of(trials, store) for which, trials in by_choice.items()}
    return n_images, found


def print_convergence(n_images: int, found: Mapping[Condition, Mapping[str, Course]]) -> None:
    """Print accuracy on validation images after some epochs, the best and the kept epoch, and an epoch's seconds."""
    rows = []
    for condition, by_choice in found.items():
        for which, course in by_choice.items():
            last = len(course.accuracy)
            shown = [course.accuracy[epoch - 1] for epoch in (1, (last + 1) // 2, last)]
            best = [max(range(last), key=lambda e, s=seed: course.accuracy[e][s]) + 1 for seed in range(len(shown[0]))]
            seconds = fmean(course.seconds[-1]) / last
            cells = [f"{100 * fmean(values):.1f}" for values in shown]
            epochs = [f"{fmean(best):.1f}", f"{fmean(course.kept):.1f}"]
            rows.append([f"{condition}: {which}", *cells, *epochs, f"{1000 * seconds:.0f}"])
    if rows:
        first = next(iter(next(iter(found.values())).values()))
        last = len(first.accuracy)
        shown_epochs = [f"epoch {epoch}" for epoch in (1, (last + 1) // 2, last)]
        header = ["", *shown_epochs, "best epoch", "kept epoch", "ms an epoch"]
        title = f"Convergence with {n_images} images: accuracy in % on noisy validation images, mean over seeds. They "
        title += "only watch: kept is the epoch best on the noisy images that select. Times include the measuring, and "
        print_table(title + "shared cores stretch them", header, rows)


def accuracies(study: Study, condition: Condition, n_images: int, which: str) -> list[float]:
    """Return the accuracy of each seed."""
    return list(tuned_accuracy(study.trials(study.usual(condition, n_images, which))).values())


def gains(study: Study, condition: Condition, n_images: int, other: str) -> list[float]:
    """Return, for each common seed, how much more accurate tuning the most affected filters is than another choice."""
    most, others = (tuned_accuracy(study.trials(study.usual(condition, n_images, which))) for which in ("most", other))
    return [most[seed] - others[seed] for seed in most if seed in others]


def write_figures(
    study: Study,
    untuned: Untuned,
    n_images: int,
    found: Mapping[Condition, Mapping[str, Course]],
    folder: Path,
    name: str,
) -> None:
    """Write the figures: accuracy and differences against the number of noisy images, and convergence."""
    from studies._selective_figures import convergence_figure, curves_figure, curves_of  # here: matplotlib is slow

    shown = curves_of(study, accuracies, {which: which for which in WHICH})
    differences = curves_of(study, gains, {f"most − {other}": other for other in WHICH[1:]})
    over = f"{len(study.seeds)} seeds, 95 % intervals"
    none = {condition: 100 * fmean(accuracy.values()) for condition, accuracy in untuned.items() if accuracy}
    figures = {
        "accuracy": curves_figure(
            *(shown, UNITS),
            title=f"{name}: accuracy after tuning on noisy images, mean over {over}",
            measure="test accuracy in %",
            level=none,
            level_label="none",
        ),
        "differences": curves_figure(
            *(differences, UNITS),
            title=f"{name}: what the choice of filters changes, paired by seed, {over}",
            measure="difference in points",
            level=dict.fromkeys(differences, 0.0),
            level_label="no difference",
        ),
    }
    if found:
        figures["convergence"] = convergence_figure(found, n_images, f"{name}: convergence, mean over {over}")
    for what, figure in figures.items():
        save_figure(figure, folder / f"{name}-{what}.png")
        print(f"wrote {folder / f'{name}-{what}.png'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the study of a finished sweep and write its figures; return the exit code."""
    options = parser(__doc__ or "")
    options.add_argument("--figures", type=Path, help="folder that the figures go into; none are drawn if not given")
    options.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = options.parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        if given.figures is not None and not given.figures.is_dir():
            raise InputError(f"the figures' folder does not exist: {given.figures}")
        results, store = load(given, *SPACES)
        study = Study(results)
        if not study.tunings:
            raise InputError(f"study {given.study!r} has no finished trial that was tuned")
        _, data = prepare_data(results.space.base.data, store)
        untuned = untuned_accuracy(study.networks(store), data, study.conditions())
        print(f"{len(data.train)} training and {len(data.test)} test images, {len(study.seeds)} seeds")
        print_accuracies(study, untuned)
        print_verdict(study)
        print_rankings(study)
        print_transfer(study)
        print_layers(study)
        print_selection(study)
        print_methods(study, store)
        n_images, found = courses(study, store)
        print_convergence(n_images, found)
        if given.figures is not None:
            write_figures(study, untuned, n_images, found, given.figures, given.study)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
