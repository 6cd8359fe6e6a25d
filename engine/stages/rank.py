"""The stage that ranks a network's filters by what a distortion does to their activation maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engine.data import Split
from engine.ranking import (
    FilterRanking,
    exemplar_distances,
    find_exemplar,
    map_features,
    paired_distances,
    rank_filters,
)
from engine.stages.context import StageContext
from engine.stages.network import load_network
from engine.stages.noisy import noisy_and_clean
from engine.stages.registration import register_stage

ACROSS = "across"
"""The file with the ranking of all layers' filters together."""


@register_stage("rank", version=3)
def rank(context: StageContext) -> None:
    """Rank the filters of the wanted layers (filter paper, sections 3.2 and 3.4).

    Files: ``ranking.json``: {layer: {"order", "points", "mean_distance", "rule", "n_images"}}; with "across_layers"
    also ``across.json``: the same of all layers' filters in one election, numbered through in the layers' order.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    network = load_network(context.inputs["pretrain"], None, context.device)
    noisy, paired_clean, other_clean = noisy_and_clean(context.data, settings["distortion"], seed=seed)
    if settings["pairing"] == "paired":
        distances = _paired(network, paired_clean, noisy, settings)
    else:
        distances = _of_exemplars(network, other_clean, noisy, settings, seed=seed)
    rankings = {layer: _elect(found, settings) for layer, found in distances.items()}
    context.attempt.write_json("ranking", {layer: ranking_to_json(found) for layer, found in rankings.items()})
    if settings.get("across_layers"):
        together = torch.cat([distances[layer] for layer in settings["layers"]], dim=-1)
        context.attempt.write_json(ACROSS, ranking_to_json(_elect(together, settings)))


def _elect(distances: Tensor, settings: Mapping[str, Any]) -> FilterRanking:
    """Return the ranking by the images' votes, or, of distances between exemplars, by the distances themselves."""
    if distances.ndim == 1:
        return rank_filters(distances)
    return rank_filters(distances, rule=settings["election"], top=settings.get("top", 1))


def _paired(network: nn.Module, clean: Split, noisy: Split, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the distances between all clean images and their noisy versions, {layer: (n, f)}."""
    return paired_distances(
        network,
        clean.images,
        noisy.images,
        settings["layers"],
        distance=settings["distance"],
        at=settings["at"],
    )


def _of_exemplars(
    network: nn.Module, clean: Split, noisy: Split, settings: Mapping[str, Any], *, seed: int
) -> dict[str, Tensor]:
    """Return the distances of the clean set's exemplars to the noisy set's, {layer: (f,)}."""
    found = {}
    for layer in settings["layers"]:
        of_clean, of_noisy = (
            split.images[_exemplars(network, split, layer, settings, seed=seed)] for split in (clean, noisy)
        )
        distances = exemplar_distances(
            network, of_clean, of_noisy, layer, distance=settings["distance"], at=settings["at"]
        )
        found[layer] = distances[layer]
    return found


def _exemplars(network: nn.Module, split: Split, layer: str, settings: Mapping[str, Any], *, seed: int) -> Tensor:
    """Return the positions of a set's exemplars by the wanted features and metric."""
    if settings["features"] == "pixels":
        features = split.images.flatten(1).float() / 255
    else:
        positive = settings["metric"] == "hamming"
        of_layer = layer if settings["features"] == "maps" else settings["features"]
        features = map_features(network, split.images, of_layer, positive=positive, at=settings["at"])
    positions = find_exemplar(
        features,
        settings["metric"],
        n_exemplars=settings["n_exemplars"],
        seed=seed,
        package=settings.get("package"),
    )
    return positions.to(split.images.device)


def ranking_to_json(ranking: FilterRanking) -> dict[str, Any]:
    """Return a ranking as a JSON value."""
    return {
        "order": ranking.order.tolist(),
        "points": ranking.points.tolist(),
        "mean_distance": ranking.mean_distance.tolist(),
        "rule": ranking.rule,
        "n_images": ranking.n_images,
    }


def ranking_from_json(value: Mapping[str, Any]) -> FilterRanking:
    """Return the ranking of ``ranking_to_json``."""
    return FilterRanking(
        points=torch.tensor(value["points"]),
        mean_distance=torch.tensor(value["mean_distance"], dtype=torch.float64),
        order=torch.tensor(value["order"]),
        rule=value["rule"],
        n_images=value["n_images"],
    )
