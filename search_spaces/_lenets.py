"""The four LeNets of the push–pull paper with and without a push–pull first layer (Table 1), on MNIST and on digits."""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Plot, Shown, ViewPart
from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm
from engine.training import recipe_settings

DRAWS = 0
"""Seed of what a distortion draws where networks are measured now; all of them meet the same images."""
LETTERS = ("A", "B", "C", "D")
PAIRS = tuple((f"P{letter}", letter) for letter in LETTERS)
ARMS = tuple(
    Arm(
        f"{'P' * inhibited}{letter}",
        {"model.name": f"lenet-{letter.lower()}", "push_pull.where": "first" if inhibited else "none"},
    )
    for letter in LETTERS
    for inhibited in (False, True)
)


def base_on_mnist(corruption: str) -> TrialConfig:
    """Return the paper's training (section 4.1.1), tested on one corruption at the levels of its figures."""
    return TrialConfig(
        data=DataSettings(name="mnist"), model=ModelSettings(name="lenet-a"), evaluate=_evaluation(corruption)
    ).with_settings(recipe_settings("lenet"))


def base_on_digits(corruption: str) -> TrialConfig:
    """Return the same on scikit-learn's digits, with a training that suits so few images."""
    return TrialConfig(
        model=ModelSettings(name="lenet-a"),
        pretrain=TrainingSettings(epochs=12, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        evaluate=_evaluation(corruption),
    )


def accuracies(shown: Shown, corruption: str, levels: dict[int, str]) -> dict[str, dict[str, dict[int, float]]]:
    """Return {arm: {column: {seed: accuracy}}}: "clean", and each severity of a corruption by its level."""
    from search_spaces._beside import errors_of_levels

    return {
        group.name: {
            column: {seed: 1 - error for seed, error in by_seed.items()}
            for column, by_seed in errors_of_levels(group, corruption, levels).items()
        }
        for group in shown.results.groups()
    }


def measured_at(shown: Shown, distortion: str, levels: dict[float, str]) -> dict[str, dict[str, dict[int, float]]]:
    """Return {arm: {column: {seed: accuracy}}} of the stored networks, measured now on the test images.

    Args:
        shown: the study.
        distortion: a registered one.
        levels: {level: its column}.

    Raises:
        InputError: networks or images cannot be had any more.
    """
    import torch

    from engine.corruptions import distort
    from engine.data import Split
    from engine.data.streamed import whole
    from engine.metrics import classification_error
    from engine.stages.network import load_network

    trials = [(group.name, trial) for group in shown.results.groups() for trial in group.trials]
    networks = [load_network(shown.artifact(trial, "pretrain"), None, torch.device("cpu")) for _, trial in trials]
    found: dict[str, dict[str, dict[int, float]]] = {arm: {} for arm, _ in trials}
    test = shown.data().test
    for level, column in levels.items():
        changed = Split(
            distort(whole(test.images), distortion, level, seed=DRAWS, indices=test.indices), test.labels, test.indices
        )
        for (arm, trial), network in zip(trials, networks, strict=True):
            found[arm].setdefault(column, {})[trial.seed] = 1 - classification_error(network, changed)
    return found


def figure_parts(
    shown: Shown, figure: str, measured: dict[str, dict[str, dict[int, float]]], columns: list[str]
) -> Iterator[ViewPart]:
    """Yield accuracies, what inhibition changes, and the bars of a figure, beside the paper's."""
    from search_spaces._beside import bars_beside, changes_beside, measured_beside, where_computed
    from search_spaces._published import published

    paper, where = published(figure), where_computed(shown.results)
    name = figure.removeprefix("push-pull-").replace("fig-", "Fig. ")
    note = "the paper's text gives clean images and variance 0.2 alone in numbers: one network each, 90 epochs on MNIST"
    yield measured_beside(f"{name}: accuracy in %; {where}", measured, columns, paper, note)
    yield changes_beside(
        f"{name}: what inhibition changes, in points of accuracy, paired by seed; {where}",
        measured,
        PAIRS,
        columns,
        paper,
        "explored, not tested: the verdicts are on what was declared",
    )
    yield Plot(
        figure.removeprefix("push-pull-"),
        lambda: bars_beside(f"{name}; {where}", measured, columns, paper, "accuracy in %"),
        measured_beside(f"{name} as drawn: accuracy in %; {where}", measured, columns, None),
    )


def _evaluation(corruption: str) -> EvaluateSettings:
    return EvaluateSettings(table="push-pull-mnist", corruptions=(corruption,), objective=(corruption,))
