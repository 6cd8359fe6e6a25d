"""Which filters a fine-tuning selects, by its settings and the ranking."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import InputError
from engine.ranking import FilterRanking, select_filters
from engine.seeds import derive_seed, generator
from engine.stages.context import StageContext
from engine.stages.rank import ACROSS, UNITS, ranking_from_json


def selected_filters(context: StageContext) -> dict[str, Tensor]:
    """Return the filters to tune of each layer, {layer: indices, best first}.

    The settings have "which", "n_filters" ({layer: filters}), and how many: "counts" ({layer: filters to take}),
    "count" (of all layers together) or "threshold".

    Raises:
        InputError: no filter's mean distance is above the threshold.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    n_filters: dict[str, int] = settings["n_filters"]
    if settings["which"] == "all":
        return {layer: torch.arange(count) for layer, count in n_filters.items()}
    if "count" in settings:
        return _of_all_layers(context, n_filters)
    if settings["which"] == "random" and "counts" in settings:
        return {
            layer: torch.randperm(n_filters[layer], generator=generator(seed, "select filters", layer))[:count]
            for layer, count in settings["counts"].items()
        }
    rankings = {name: ranking_from_json(found) for name, found in context.inputs["rank"].json("ranking").items()}
    counts = settings.get("counts", {})
    selected = {
        layer: select_filters(
            rankings[layer],
            count=counts.get(layer),
            threshold=settings.get("threshold"),
            which=settings["which"],
            seed=derive_seed(seed, layer),
        )
        for layer in n_filters
    }
    if not any(len(filters) for filters in selected.values()):
        farthest = max(float(rankings[layer].mean_distance.max()) for layer in n_filters)
        raise InputError(
            f"no filter's mean distance is above `finetune.threshold` = {settings['threshold']:g}; "
            f"the largest is {farthest:.4g}"
        )
    return selected


def _of_all_layers(context: StageContext, n_filters: dict[str, int]) -> dict[str, Tensor]:
    """Return the filters that one election of all layers' filters selects, by layer; a layer may get none."""
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    if settings["which"] == "random":
        drawn = torch.randperm(sum(n_filters.values()), generator=generator(seed, "select filters"))
        chosen = drawn[: settings["count"]]
    else:
        ranking: FilterRanking = ranking_from_json(context.inputs["rank"].json(ACROSS))
        chosen = select_filters(ranking, count=settings["count"], which=settings["which"])
    selected, start = {}, 0
    for layer, count in n_filters.items():
        selected[layer] = chosen[(chosen >= start) & (chosen < start + count)] - start
        start += count
    return selected


def selected_parts(context: StageContext) -> dict[str, list[str]]:
    """Return the layers or blocks to tune as one, {part: names of its parameters}, best first.

    The settings have "which", and "parameters" where that is all of them; else "parts" ({part: names}), and how many:
    "count" or "threshold".

    Raises:
        InputError: no part's mean distance is above the threshold.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    if settings["which"] == "all":
        return {"all": settings["parameters"]}
    names = list(settings["parts"])
    if settings["which"] == "random" and "count" in settings:
        drawn = torch.randperm(len(names), generator=generator(seed, "select parts"))[: settings["count"]]
        return {names[place]: settings["parts"][names[place]] for place in drawn.tolist()}
    ranking = ranking_from_json(context.inputs["rank"].json(UNITS))
    chosen = select_filters(
        ranking,
        count=settings.get("count"),
        threshold=settings.get("threshold"),
        which=settings["which"],
        seed=derive_seed(seed, "parts"),
    )
    if not len(chosen):
        raise InputError(
            f"no mean distance of {', '.join(names)} is above `finetune.threshold` = {settings['threshold']:g}; "
            f"the largest is {float(ranking.mean_distance.max()):.4g}"
        )
    return {names[place]: settings["parts"][names[place]] for place in chosen.tolist()}
