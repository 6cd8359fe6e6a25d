"""From a trial's settings to what it tunes: by which method, and of which layers how many filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from engine.errors import InputError, unknown_name
from engine.layers.layer_names import layers_named
from engine.ranking import filter_layers
from engine.ranking.selection import n_asked, n_selected
from engine.settings import UNLABELLED, FinetuneSettings
from engine.stages.plan_parts import check_parts, chosen_parts
from engine.stages.planning import Planning, relevant_training
from engine.training.adapted import adapted_norms
from engine.training.selective import classifier_name
from engine.training.whole import batch_norms


def tuning(planning: Planning) -> dict[str, Any]:
    """Return the settings that a fine-tuning's numbers depend on."""
    return planning.once("tuning", lambda: _tuning(planning))


def check_tuning(planning: Planning) -> None:
    """Check that the network has what is to be tuned.

    Raises:
        InputError: it has no classifier, or not the layers, or not as many filters.
    """
    finetune = planning.config.finetune
    if finetune.method == "classifier" or finetune.train_classifier:
        classifier_name(planning.network)
    if finetune.method in UNLABELLED:
        _check_norms(planning)
        return
    if is_of_parts(finetune):
        check_parts(planning)
    elif finetune.method not in ("classifier", "network"):
        check_layers(planning.network, finetune.layers)
        _check_size(finetune, filter_counts(planning.network, finetune.layers))


def _check_norms(planning: Planning) -> None:
    """Check that a network has the batch normalisations that are to be adapted."""
    method, norms = planning.config.finetune.method, adapted_norms(planning.network).values()
    if not any(method == "statistics" or norm.affine for norm in norms):
        has = "none" if not norms else "none with γ and β"
        raise InputError(
            f"`finetune.method`={method} adapts batch normalisation with running statistics, and network "
            f"{planning.config.model.name!r} has {has}"
        )


def is_of_parts(finetune: FinetuneSettings) -> bool:
    """Return whether whole layers or blocks are chosen and tuned, not filters."""
    return finetune.method == "filters" and finetune.unit != "filter"


def is_tuned_after(planning: Planning) -> bool:
    """Return whether a trial fine-tunes the network that it has."""
    return planning.is_tuned and not planning.is_retrained


def _tuning(planning: Planning) -> dict[str, Any]:
    finetune = planning.config.finetune
    if finetune.method in UNLABELLED:
        return _adapting(planning)
    settings: dict[str, Any] = {
        "method": finetune.method,
        "training": relevant_training(finetune.training, planning.n_noisy()),
        **planning.noisy(),
    }
    if finetune.method == "classifier":
        return settings
    if finetune.method == "network":
        return {**settings, "batch_norm": finetune.batch_norm if batch_norms(planning.network) else "frozen"}
    if finetune.method == "filters" and finetune.rates != "equal":
        settings["rates"] = finetune.rates
    if is_of_parts(finetune):
        return settings | chosen_parts(planning)
    n_filters = filter_counts(planning.network, finetune.layers)
    settings |= {"n_filters": n_filters, **chosen_filters(finetune, n_filters)}
    if finetune.method == "filters":
        batch_norm = finetune.batch_norm
        if batch_norm == "affine" and not planning.has_affine_norms(n_filters):
            batch_norm = "frozen"
        settings |= {"batch_norm": batch_norm, "train_classifier": finetune.train_classifier}
    return settings


def _adapting(planning: Planning) -> dict[str, Any]:
    """Return what a tuning without labels depends on."""
    finetune = planning.config.finetune
    training = relevant_training(finetune.training, planning.n_noisy())
    kept = [name for name in training if name not in ("label_smoothing", "patience")]
    kept = ["batch_size"] if finetune.method == "statistics" else kept
    return {"method": finetune.method, "training": {name: training[name] for name in kept}, **planning.noisy()}


def filter_counts(network: nn.Module, layers: str) -> dict[str, int]:
    """Return {layer: number of its filters} of the layers that "first", "all", "first-K" or names mean.

    Of what ``check_layers`` refuses it is whatever there is.
    """
    return {name: int(layer.out_channels) for name, layer in _wanted_layers(network, layers).items()}  # type: ignore[arg-type]


def chosen_filters(finetune: FinetuneSettings, n_filters: Mapping[str, int]) -> dict[str, Any]:
    """Return which filters are tuned and how many: "counts" by layer, a "count" of all together, or a "threshold"."""
    if finetune.which == "all":
        return {"which": "all"}
    if finetune.threshold is not None:
        return {"which": finetune.which, "threshold": finetune.threshold}
    if finetune.across_layers and len(n_filters) > 1:
        total = sum(n_filters.values())
        count = n_asked(total, fraction=finetune.fraction, count=finetune.count)
        return {"which": "all"} if count == total else {"which": finetune.which, "count": count}
    counts = {name: n_asked(n, fraction=finetune.fraction, count=finetune.count) for name, n in n_filters.items()}
    return {"which": "all"} if counts == n_filters else {"which": finetune.which, "counts": counts}


def _check_size(finetune: FinetuneSettings, n_filters: Mapping[str, int]) -> None:
    """Check that there are as many filters as are wanted, and that they are some."""
    if finetune.which == "all" or finetune.threshold is not None:
        return
    together = finetune.across_layers and len(n_filters) > 1
    for n in [sum(n_filters.values())] if together else n_filters.values():
        n_selected(n, fraction=finetune.fraction, count=finetune.count)


def needs_ranking(settings: Mapping[str, Any]) -> bool:
    """Return whether a fine-tuning's filters depend on a ranking; a threshold's number of them always does."""
    which = settings.get("which")
    return which in ("most", "least") or (which == "random" and "threshold" in settings)


def check_layers(network: nn.Module, layers: str) -> None:
    """Check that a network has the layers that a text means.

    Raises:
        InputError: it has not so many, or none of a name, or the text means none.
    """
    rankable, words = filter_layers(network), layers.strip()
    if words in ("all", "first"):
        return
    if words.startswith("first-"):
        if words.removeprefix("first-") not in map(str, range(1, len(rankable) + 1)):
            raise InputError(
                f"`finetune.layers` = 'first-K' needs K from 1 to the network's {len(rankable)} layers, got {layers!r}"
            )
        return
    names = _names(words)
    if not names:
        raise InputError(f"`finetune.layers` must be first, all, first-K or layer names, got {layers!r}")
    words_too = ["first", "all", "first-K"] if len(names) == 1 else []
    for name in names:
        if not layers_named(name, rankable):
            raise unknown_name("layer for `finetune.layers`", name, [*words_too, *rankable])


def _wanted_layers(network: nn.Module, layers: str) -> dict[str, nn.Module]:
    """Return the rankable layers that "first", "all", "first-K", or names, blocks and patterns mean."""
    rankable, words = filter_layers(network), layers.strip()
    if words == "all":
        return rankable
    if words == "first" or words.startswith("first-"):
        count = words.removeprefix("first-")
        return dict(list(rankable.items())[: int(count) if count.isdecimal() else 1])
    wanted = {name for word in _names(words) for name in layers_named(word, rankable)}
    return {name: layer for name, layer in rankable.items() if name in wanted}


def _names(words: str) -> list[str]:
    return [name.strip() for name in words.split(",") if name.strip()]
