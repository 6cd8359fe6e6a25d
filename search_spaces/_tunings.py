"""The trials of a study that tunes filters: which of them, tuned on what, and how accurate that makes a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any, NamedTuple

import torch

from engine.metrics import classification_error
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.report.views import Shown
from engine.result_names import TUNED_ERROR
from engine.stages.budget import NoisyBudget
from engine.stages.network import load_network
from engine.stages.noisy import distorted
from engine.stages.probe import TEST, corruption_seed
from search_spaces._selective import CORRUPTION


class Condition(NamedTuple):
    """What noisy images suffered."""

    distortion: str
    level: float

    def __str__(self) -> str:
        return f"{self.distortion} {self.level:g}"

    @property
    def other(self) -> str:
        """Return the other distortion's corruption."""
        return next(name for distortion, name in CORRUPTION.items() if distortion != self.distortion)


class Tuning(NamedTuple):
    """A fine-tuning, of which there is a trial a seed."""

    condition: Condition
    n_images: int
    which: str
    method: str
    select_by: str
    layers: str
    distance: str
    pairing: str

    @property
    def ranked_by(self) -> str:
        """Return the ranking in words."""
        return self.distance if self.pairing == "paired" else f"{self.distance}, {self.pairing}"


Trials = Mapping[int, TrialResult]
Accuracy = dict[int, float]
"""{seed: share of images that are classified rightly}."""
Measure = Callable[[Trials], Accuracy]


class Tunings:
    """A study's complete trials.

    Args:
        results: of the study.

    Attributes:
        by_tuning: {tuning: its trial by seed}, in the arms' order.
        untuned: the trials without tuning by seed; empty if there are none.
        base: {setting: value} of the space.
    """

    def __init__(self, results: Results) -> None:
        self.base: dict[str, Any] = results.space.base.flat()
        self.by_tuning: dict[Tuning, dict[int, TrialResult]] = {}
        self.untuned: dict[int, TrialResult] = {}
        for group in results.groups():
            for trial in group.trials:
                settings = {**self.base, **trial.settings}
                if settings["finetune.which"] == "none":
                    self.untuned[trial.seed] = trial
                else:
                    self.by_tuning.setdefault(_tuning(settings), {})[trial.seed] = trial

    @property
    def seeds(self) -> list[int]:
        """Return the seeds of all trials."""
        return sorted({seed for trials in (*self.by_tuning.values(), self.untuned) for seed in trials})

    def conditions(self) -> list[Condition]:
        """Return what images suffered, mild first, distortion by distortion."""
        found = dict.fromkeys(tuning.condition for tuning in self.by_tuning)
        order = list(dict.fromkeys(condition.distortion for condition in found))
        return sorted(found, key=lambda condition: (order.index(condition.distortion), condition.level))

    def numbers(self, condition: Condition) -> list[int]:
        """Return the numbers of noisy images that were tuned on, fewest first."""
        return sorted({tuning.n_images for tuning in self.by_tuning if tuning.condition == condition})

    def usual(self, condition: Condition, n_images: int, which: str, **others: Any) -> Tuning:
        """Return a tuning of which the space's base says all that is not given."""
        usual = Tuning(condition, n_images, which, *(self.base[path] for path in _PATHS))
        return usual._replace(**others)

    def budget(self, tuning: Tuning) -> NoisyBudget | None:
        """Return the labelled noisy images that a tuning used; None if it was not made."""
        return next((trial.noisy_budget for trial in self.trials(tuning).values()), None)

    def trials(self, tuning: Tuning) -> dict[int, TrialResult]:
        """Return a tuning's trials by seed; none if it was not made."""
        return self.by_tuning.get(tuning, {})


_PATHS = ("finetune.method", "finetune.select_by", "finetune.layers", "rank.distance", "rank.pairing")


def _tuning(settings: Mapping[str, Any]) -> Tuning:
    condition = Condition(settings["distortion.name"], settings["distortion.level"])
    n_images, which = settings["distortion.n_images"], settings["finetune.which"]
    return Tuning(condition, n_images, which, *(settings[path] for path in _PATHS))


def tuned_accuracy(trials: Trials) -> Accuracy:
    """Return the accuracy on test images under the distortion tuned on."""
    return {seed: 1 - trial.test["tuned_distortion"] for seed, trial in trials.items()}


def clean_accuracy(trials: Trials) -> Accuracy:
    """Return the accuracy on clean test images."""
    return {seed: 1 - trial.test["clean"] for seed, trial in trials.items()}


def corruption_accuracy(trials: Trials, corruption: str) -> Accuracy:
    """Return the mean accuracy on test images over the severities of a corruption."""
    found = {}
    for seed, trial in trials.items():
        rows = [row["error"] for row in trial.test["corrupted"] if row["corruption"] == corruption]
        found[seed] = 1 - fmean(rows)
    return found


def untuned_accuracy(shown: Shown, tunings: Tunings) -> dict[Condition, Accuracy]:
    """Return the accuracy of the pretrained networks on the test images that the tuned ones were tested on.

    Raises:
        InputError: the networks or the images cannot be had any more.
    """
    networks: dict[int, torch.nn.Module] = {}
    pretrained = (trials for tuning, trials in tunings.by_tuning.items() if tuning.method != "retrain")
    for trials in (tunings.untuned, *pretrained):
        for seed, trial in trials.items():
            if seed not in networks:
                networks[seed] = load_network(shown.artifact(trial, "pretrain"), None, torch.device("cpu"))
    found, test = {}, shown.data().test
    for condition in tunings.conditions():
        distortion = {"name": condition.distortion, "level": condition.level}
        noisy = distorted(test, distortion, seed=corruption_seed(TEST))
        found[condition] = {seed: 1 - classification_error(networks[seed], noisy) for seed in sorted(networks)}
    return found


def trained_parameters(trials: Trials, shown: Shown) -> int:
    """Return how many parameters a tuning trains, of the first seed's network."""
    trial = next(iter(trials.values()))
    stage = "pretrain" if trial.settings.get("finetune.method") == "retrain" else "finetune"
    return int(shown.artifact(trial, stage).json("result")["n_trained"])


class Course(NamedTuple):
    """How a tuning went, epoch by epoch; an epoch holds as many values as there are seeds.

    Attributes:
        accuracy: on noisy validation images, after each epoch; they are watched only, and select nothing.
        seconds: since the start, after each epoch; the measuring after each is part of it.
        kept: the epoch that was kept, of each seed: the best on the images that select.
    """

    accuracy: list[list[float]]
    seconds: list[list[float]]
    kept: list[int]


def course_of(trials: Trials, shown: Shown) -> Course:
    """Return the course of a tuning from its stages' histories, as far as all seeds went."""
    artifacts = [shown.artifact(trial, "finetune") for trial in trials.values()]
    histories = [artifact.history for artifact in artifacts]
    n_epochs = min(len(history) for history in histories)
    accuracy, seconds = [], []
    for epoch in range(n_epochs):
        accuracy.append([1 - history[epoch][TUNED_ERROR] for history in histories])
        seconds.append([sum(record["seconds"] for record in history[: epoch + 1]) for history in histories])
    return Course(accuracy, seconds, [artifact.json("result")["best_epoch"] for artifact in artifacts])
