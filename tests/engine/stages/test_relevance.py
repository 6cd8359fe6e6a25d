"""The table of which settings matter under which others says what the keys of the stages do."""

import itertools
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from engine.conversion import leaves
from engine.errors import InputError
from engine.ranking import ELECTIONS
from engine.relevance import MATTERS_IF, conditions_of, matters
from engine.settings import TrialConfig
from engine.stages import plan_trial

BASE = {"model.width": 16, "push_pull.where": "first"}
VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"push_pull.where": "none"},
    {"push_pull.alpha": 0.0},
    {"push_pull.alpha": 0.0, "push_pull.learn_alpha": "layer"},
    {"push_pull.variant": "2024"},
    {"push_pull.variant": "2024", "push_pull.alpha": 0.0},
    *({"rank.election": name} for name in ELECTIONS if name != "borda"),
    {"model.weights": "ab" * 16},
    {"finetune.threshold": 0.2},
    {"finetune.fraction": 1.0},
    {"finetune.count": 2},
    {"finetune.layers": "first"},
    {"finetune.unit": "block"},
    {"rank.pairing": "unpaired"},
    {"rank.by": "gradient"},
    {"rank.by": "fisher"},
    {"rank.pairing": "unpaired", "rank.features": "random"},
    {"pretrain.optimizer": "sgd", "finetune.training.optimizer": "sgd"},
    {"pretrain.schedule": "step", "finetune.training.schedule": "step"},
    {"perturbation.kind": "noise"},
    {"perturbation.kind": "augmix"},
    {"perturbation.kind": "prime"},
)
WHICH = ("none", "most", "random", "all")
METHODS = ("filters", "correction", "network", "classifier", "retrain", "statistics", "tent")
OTHER: dict[str, Any] = {
    "model.name": "resnet-14",
    "model.width": 12,
    "push_pull.where": "first_block",
    "model.weights": "cd" * 16,
    "push_pull.variant": "2024",
    "push_pull.h": 3.0,
    "push_pull.average": 5,
    "push_pull.alpha": 0.5,
    "push_pull.learn_alpha": "kernel",
    "perturbation.sigmas": [0.3],
    "perturbation.share": 0.25,
    "distortion.name": "blur",
    "distortion.level": 3.0,
    "distortion.n_images": 100,
    "rank.by": "gradient",
    "rank.batch_size": 32,
    "rank.distance": "l2",
    "rank.at": "convolution",
    "rank.election": "copeland",
    "rank.top": 3,
    "rank.pairing": "unpaired",
    "rank.features": "maps",
    "rank.metric": "hamming",
    "rank.n_exemplars": 3,
    "finetune.which": "least",
    "finetune.method": "network",
    "finetune.unit": "layer",
    "finetune.layers": "first-2",
    "finetune.fraction": 0.5,
    "finetune.count": 3,
    "finetune.threshold": 0.1,
    "finetune.across_layers": True,
    "finetune.batch_norm": "affine",
    "finetune.train_classifier": True,
    "finetune.rates": "gradient",
    "finetune.select_by": "validation",
    "training.epochs": 5,
    "training.batch_size": 32,
    "training.optimizer": "sgd",
    "training.learning_rate": 1e-4,
    "training.schedule": "step",
    "training.milestones": [0.5],
    "training.momentum": 0.5,
    "training.weight_decay": 1e-4,
    "training.label_smoothing": 0.1,
    "training.max_gradient_norm": 0.1,
    "training.patience": 4,
    "training.augmentation": "crop-flip",
}
"""{setting: another value}, where the first that its type allows will not do; those of both trainings once."""
AXES = [path for path in TrialConfig().flat() if not path.startswith(("data.", "evaluate.")) and path != "seed"]
"""What an axis may vary."""


def other_value(path: str) -> Any:
    """Return a value of a setting that is not its default."""
    leaf, value = path.rpartition(".")[2], TrialConfig().flat()[path]
    name = f"training.{leaf}" if path.startswith(("pretrain.", "finetune.training.")) else path
    if name in OTHER:
        return OTHER[name]
    options = typing.get_args(leaves(TrialConfig)[path].hint)
    known = next((option for option in options if isinstance(option, str) and option != value), None)
    return known or (not value if isinstance(value, bool) else (value or 0) + 1)


def contexts(path: str) -> Iterator[dict[str, Any]]:
    """Yield settings of a trial that differ in what a setting's conditions read."""
    reads = {name for condition in conditions_of(path) for name in condition.reads}
    for which, method, more in itertools.product(WHICH, METHODS, VARIED):
        settings = {"finetune.which": which, "finetune.method": method, **more}
        plain = method == "filters" or not more
        if (which != "none" or method == "filters") and plain and (not more or reads & set(more)):
            yield {**BASE, **settings}


def keys(info, config: TrialConfig, known: dict[TrialConfig, list[str]]) -> list[str]:
    """Return the keys of a trial's stages; the contexts' are asked for again and again."""
    if config not in known:
        known[config] = [spec.key for spec in plan_trial(config, info)]
    return known[config]


@pytest.fixture(scope="module")
def known() -> dict[TrialConfig, list[str]]:
    return {}


@pytest.mark.parametrize("path", AXES)
def test_a_setting_changes_keys_where_the_table_says_that_it_matters_and_nowhere_else(info, known, path):
    seen = set()
    for context in contexts(path):
        before, settings = TrialConfig().with_settings(context), {path: other_value(path)}
        expected = matters(path, before.flat()) or matters(path, {**before.flat(), **settings})
        seen.add(expected)
        try:
            after = before.with_settings(settings)
            changes = keys(info, before, known) != keys(info, after, known)
        except InputError:  # what is refused is no trial
            continue
        assert changes == (expected and before != after), context
    assert seen == ({True, False} if conditions_of(path) else {True}), (
        "no context tells whether its conditions are right"
    )


def test_every_line_of_the_table_is_about_settings_that_exist():
    known = TrialConfig().flat()
    for name, conditions in MATTERS_IF.items():
        assert any(path == name or (name.endswith(".") and path.startswith(name)) for path in known), name
        for condition in conditions:
            assert set(condition.reads) <= set(known)
            assert isinstance(condition.holds({path: known[path] for path in condition.reads}), bool), "reads more"
