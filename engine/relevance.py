"""Which settings can change a trial's numbers only under others: the one table of it.

A search over a setting that cannot matter tries one network again and again; spaces refuse such an axis. A test plans
trials with and without each condition, so that the table says what the keys of the stages do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.settings import UNLABELLED, TrainingSettings

Settings = Mapping[str, Any]
"""{dotted path: value} of all settings."""


@dataclass(frozen=True)
class Condition:
    """What must hold for a setting to matter.

    Attributes:
        words: as a clause ("`finetune.which` is not none").
        reads: the settings that it depends on.
        holds: whether it holds under some settings.
    """

    words: str
    reads: tuple[str, ...]
    holds: Callable[[Settings], bool]


def _is(setting: str, *values: str) -> Condition:
    return Condition(f"`{setting}` is {' or '.join(values)}", (setting,), lambda s: s[setting] in values)


def _by_sgd(training: str) -> Condition:
    return _is(f"{training}.optimizer", "sgd")


def _by_steps(training: str) -> Condition:
    return _is(f"{training}.schedule", "step")


def _impatient(training: str) -> Condition:
    epochs, patience = f"{training}.epochs", f"{training}.patience"
    return Condition(
        f"`{patience}` is less than `{epochs}`",
        (epochs, patience),
        lambda s: s[patience] is not None and s[patience] < s[epochs],
    )


def of_training(training: str) -> dict[str, tuple[Condition, ...]]:
    """Return the conditions of the settings of a training.

    Args:
        training: how their paths begin ("finetune.training").
    """
    return {
        f"{training}.momentum": (_by_sgd(training),),
        f"{training}.milestones": (_by_steps(training),),
        f"{training}.patience": (_impatient(training),),
    }


_INHIBITED = Condition(
    "`push_pull.where` is not none", ("push_pull.where",), lambda s: s["push_pull.where"].strip() != "none"
)
_TUNED = Condition("`finetune.which` is not none", ("finetune.which",), lambda s: s["finetune.which"] != "none")
_BY_FILTER = _is("finetune.method", "filters", "correction")
_CHOSEN = _is("finetune.which", "most", "least", "random")
_PRETRAINED = Condition(
    "the network is trained, not given by `model.weights`",
    ("model.weights", "finetune.which", "finetune.method"),
    lambda s: s["model.weights"] is None or (s["finetune.which"] != "none" and s["finetune.method"] == "retrain"),
)
_NOT_RETRAINED = Condition(
    "`finetune.method` is not retrain",
    ("finetune.which", "finetune.method"),
    lambda s: s["finetune.which"] == "none" or s["finetune.method"] != "retrain",
)
_LABELLED = Condition(
    "`finetune.method` reads labels: it is neither statistics nor tent",
    ("finetune.method",),
    lambda s: s["finetune.method"] not in UNLABELLED,
)
_IN_STEPS = Condition(
    "`finetune.method` is not statistics", ("finetune.method",), lambda s: s["finetune.method"] != "statistics"
)
_RANKED = Condition(
    "filters are ranked (`finetune.which` is most or least, or random with a `finetune.threshold`, not all are tuned)",
    ("finetune.which", "finetune.threshold", "finetune.fraction"),
    lambda s: (
        s["finetune.which"] in (("most", "least") if s["finetune.threshold"] is None else ("most", "least", "random"))
        and s["finetune.fraction"] != 1
    ),
)
_IN_LAYERS = Condition(
    "`finetune.layers` is more than the first without a `finetune.threshold`",
    ("finetune.layers", "finetune.threshold"),
    lambda s: s["finetune.threshold"] is None and s["finetune.layers"].strip() not in ("first", "first-1"),
)
_BY_MAPS = _is("rank.by", "maps")
_PAIRED, _UNPAIRED = _is("rank.pairing", "paired"), _is("rank.pairing", "unpaired")
_CHOSEN_BY_FEATURES = Condition(
    "`rank.features` is not random", ("rank.features",), lambda s: s["rank.features"] != "random"
)
_VOTED = Condition(
    "`finetune.which` is most or least",
    ("finetune.which",),
    lambda s: s["finetune.which"] != "random",
)
_OF_PLACES = Condition(
    "`rank.election` counts places: borda, or one of yours",
    ("rank.election",),
    lambda s: s["rank.election"] not in ("copeland", "mean_rank", "mean_distance"),
)
_FELT = Condition(
    "`push_pull.alpha` is not 0, or learned",
    ("push_pull.alpha", "push_pull.learn_alpha"),
    lambda s: s["push_pull.alpha"] != 0 or s["push_pull.learn_alpha"] is not None,
)


def _of_finetuning() -> dict[str, tuple[Condition, ...]]:
    """Return the conditions of each setting of the fine-tuning's training, but those of all of them."""
    plain, training = of_training("finetune.training"), "finetune.training"
    stepped = {f"{training}.{item.name}": (_IN_STEPS,) for item in dataclasses.fields(TrainingSettings)}
    labelled = {f"{training}.{name}": (_LABELLED,) for name in ("label_smoothing", "patience")}
    del stepped[f"{training}.batch_size"]
    return {path: (*plain.get(path, ()), *labelled.get(path, ()), *own) for path, own in stepped.items()}


_ALONG_SEQUENCES = Condition(
    "`evaluate.sequences` names some", ("evaluate.sequences",), lambda s: bool(s["evaluate.sequences"])
)

MATTERS_IF: dict[str, tuple[Condition, ...]] = {
    "model.weights": (_NOT_RETRAINED,),
    "push_pull.variant": (_INHIBITED,),
    "push_pull.h": (_INHIBITED, _is("push_pull.variant", "2020"), _FELT),
    "push_pull.average": (_INHIBITED, _is("push_pull.variant", "2024"), _FELT),
    "push_pull.alpha": (_INHIBITED,),
    "push_pull.learn_alpha": (_INHIBITED,),
    "pretrain.": (_PRETRAINED,),
    **of_training("pretrain"),
    "perturbation.": (_PRETRAINED,),
    "perturbation.sigmas": (_is("perturbation.kind", "noise"),),
    "perturbation.share": (_is("perturbation.kind", "noise"),),
    "perturbation.severity": (_is("perturbation.kind", "augmix"),),
    "perturbation.consistency": (_is("perturbation.kind", "augmix", "prime"),),
    "perturbation.strengths": (_is("perturbation.kind", "prime"),),
    "distortion.": (_TUNED,),
    "rank.": (_BY_FILTER, _RANKED),
    "rank.batch_size": (_is("rank.by", "gradient"),),
    "rank.distance": (_BY_MAPS,),
    "rank.at": (_BY_MAPS,),
    "rank.election": (_BY_MAPS, _PAIRED, _VOTED),
    "rank.top": (_BY_MAPS, _PAIRED, _VOTED, _OF_PLACES),
    "rank.pairing": (_BY_MAPS,),
    "rank.features": (_BY_MAPS, _UNPAIRED),
    "rank.metric": (_BY_MAPS, _UNPAIRED, _CHOSEN_BY_FEATURES),
    "rank.n_exemplars": (_BY_MAPS, _UNPAIRED),
    "finetune.which": (_BY_FILTER,),
    "finetune.method": (_TUNED,),
    "finetune.unit": (_TUNED, _is("finetune.method", "filters")),
    "finetune.layers": (_TUNED, _BY_FILTER),
    "finetune.fraction": (_CHOSEN, _BY_FILTER),
    "finetune.count": (_CHOSEN, _BY_FILTER),
    "finetune.threshold": (_CHOSEN, _BY_FILTER),
    "finetune.across_layers": (_CHOSEN, _BY_FILTER, _is("finetune.unit", "filter"), _IN_LAYERS),
    "finetune.batch_norm": (_TUNED, _is("finetune.method", "filters", "network")),
    "finetune.train_classifier": (_TUNED, _is("finetune.method", "filters")),
    "finetune.rates": (_TUNED, _is("finetune.method", "filters")),
    "finetune.select_by": (_TUNED, _LABELLED),
    "finetune.training.": (_TUNED, _NOT_RETRAINED),
    **_of_finetuning(),
    "data.sequence_files": (_ALONG_SEQUENCES,),
    "evaluate.difficulty": (_ALONG_SEQUENCES,),
}
"""{setting, or the beginning of some settings' paths: what must hold for them to matter}; all of a setting's must."""


def add_conditions(conditions: Mapping[str, tuple[Condition, ...]]) -> None:
    """Add lines to the table: those of the settings that a user's stage brings along."""
    MATTERS_IF.update(conditions)


def conditions_of(setting: str) -> tuple[Condition, ...]:
    """Return what must hold for a setting to matter; nothing for one that always does."""
    found = [
        MATTERS_IF[name] for name in MATTERS_IF if name == setting or (name[-1] == "." and setting.startswith(name))
    ]
    return tuple(condition for conditions in found for condition in conditions)


def matters(setting: str, settings: Settings) -> bool:
    """Return whether a setting can change a trial's numbers where all settings are these."""
    return all(condition.holds(settings) for condition in conditions_of(setting))
