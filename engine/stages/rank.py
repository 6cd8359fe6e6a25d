"""The stage that ranks a network's filters, layers or blocks by what a distortion does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.data import Split
from engine.data.streamed import Images
from engine.digest import canonical_json
from engine.errors import InputError, unknown_name
from engine.ranking import (
    DISTANCES,
    ELECTIONS,
    FilterRanking,
    exemplar_distances,
    filter_layers,
    find_exemplar,
    make_ranking,
    map_features,
    paired_distances,
    pixel_features,
    random_exemplars,
    rank_filters,
)
from engine.ranking.batches import Batches, ranking_batches
from engine.ranking.elections import counts_places
from engine.ranking.exemplars import MAX_CLUSTERED
from engine.ranking.maps import place_of_maps
from engine.ranking.medoids import k_medoids_package
from engine.stages.by_gradients import check_measured, gradient_settings, measured
from engine.stages.context import StageContext
from engine.stages.limits import check_exemplars
from engine.stages.noisy import noisy_and_clean, noisy_sets
from engine.stages.plan_filters import check_tuning, is_tuned_after, needs_ranking, tuning
from engine.stages.plan_network import check_maps
from engine.stages.plan_parts import layers_of_parts
from engine.stages.planning import Planning, with_sources
from engine.stages.registration import register_stage

RANDOM = "random"
"""Features that exemplars are not chosen by: they are drawn, as a control."""

MAPS = "maps"
"""What ranks by activation maps; all else does by gradients."""

_FEATURES = ("pixels", "maps", RANDOM)

ACROSS = "across"
"""The file with the ranking of all layers' filters together."""

UNITS = "units"
"""The file with the ranking of whole layers or blocks, in the order of the settings."""


def _is_wanted(planning: Planning) -> bool:
    return is_tuned_after(planning) and needs_ranking(tuning(planning))


def _depends_on(planning: Planning) -> dict[str, Any]:
    """Return what of the ranking's settings matters to the fine-tuning that reads it."""
    chosen, ranking = tuning(planning), planning.config.rank
    if ranking.by != MAPS:
        return gradient_settings(planning)
    layers = _layers(planning)
    settings: dict[str, Any] = {
        "layers": layers,
        "distance": ranking.distance,
        "pairing": ranking.pairing,
        "distortion": planning.distortion(),
    }
    if "parts" in chosen:
        settings["units"] = layers_of_parts(planning)
    elif "count" in chosen:
        settings["across_layers"] = True
    if ranking.pairing == "paired":
        by_distance = chosen["which"] == "random"  # as many as are above the threshold: no vote on which
        settings["election"] = "mean_distance" if by_distance else ranking.election
        if counts_places(settings["election"]):
            settings["top"] = ranking.top
    else:
        settings |= _of_unpaired(planning, layers)
    settings = with_sources(settings, {"distance": DISTANCES, "election": ELECTIONS})
    looked_at = {*layers, settings.get("features")}
    units = [unit for layer, unit in planning.units().items() if layer in looked_at]
    return {**settings, "at": place_of_maps(ranking.at, units)}


def _layers(planning: Planning) -> list[str]:
    """Return the layers whose maps are looked at."""
    chosen = tuning(planning)
    if "parts" not in chosen:
        return list(chosen["n_filters"])
    return [layer for layers in layers_of_parts(planning).values() for layer in layers]


def _of_unpaired(planning: Planning, layers: list[str]) -> dict[str, Any]:
    """Return what exemplars are chosen by."""
    ranking = planning.config.rank
    if ranking.features == RANDOM:
        return {"features": RANDOM, "n_exemplars": ranking.n_exemplars}
    settings: dict[str, Any] = {
        "features": "maps" if [ranking.features] == layers else ranking.features,
        "metric": ranking.metric,
        "n_exemplars": ranking.n_exemplars,
    }
    if ranking.n_exemplars > 1:
        settings["package"] = k_medoids_package()  # they do not always agree
    return settings


def _check(planning: Planning) -> None:
    """Check how the filters that are tuned are ranked.

    Raises:
        InputError: a name that is not known, a distance that the maps are too small for, or too few images.
    """
    check_tuning(planning)
    ranking = planning.config.rank
    if ranking.by != MAPS:
        check_measured(planning)
        return
    if ranking.pairing == "paired":
        _ = ELECTIONS[ranking.election]
    else:
        _check_unpaired(planning)
    _ = DISTANCES[ranking.distance]
    if "parts" in tuning(planning):
        _check_maps_of_parts(planning)
    check_maps(canonical_json(planning.network_settings), tuple(_layers(planning)), ranking.distance)


def _check_maps_of_parts(planning: Planning) -> None:
    """Check that all parts have maps to be ranked by."""
    unit = planning.config.finetune.unit
    for part, layers in layers_of_parts(planning).items():
        if not layers:
            known = [name for name, own in layers_of_parts(planning).items() if own]
            raise InputError(
                f"{unit} {part!r} has no filters of more than one pixel, whose maps could rank it: leave it out of "
                f"`finetune.layers` ({', '.join(known) or 'no other one'} can be ranked)"
            )


def _check_unpaired(planning: Planning) -> None:
    """Check how exemplars are chosen."""
    ranking, rankable = planning.config.rank, filter_layers(planning.network)
    if ranking.features not in (*_FEATURES, *rankable):
        raise unknown_name("features for `rank.features`", ranking.features, [*_FEATURES, *rankable])
    if ranking.n_exemplars > 1 and ranking.features != RANDOM:
        k_medoids_package()  # raises where there is none
    check_exemplars(planning.config, planning.data)
    if ranking.n_exemplars > MAX_CLUSTERED:
        raise InputError(f"`rank.n_exemplars` must be at most {MAX_CLUSTERED}, got {ranking.n_exemplars}")


@register_stage("rank", version=3, precedes=("finetune",), wanted=_is_wanted, check=_check, depends_on=_depends_on)
def rank(context: StageContext) -> None:
    """Rank the filters of the wanted layers (filter paper, sections 3.2 and 3.4).

    Files: ``ranking.json``: {layer: {"order", "points", "mean_distance", "rule", "n_images"}}; with "across_layers"
    also ``across.json``: the same of all layers' filters in one election, numbered through in the layers' order; with
    "units" also ``units.json``: the same of whole layers or blocks, an image's distance of one being the mean over its
    filters.

    Where a GPU's memory took no batches as large as they should be, "memory.json" is {"batch_size", "halvings"}.

    With "by" it is not the maps that rank, but the gradients of the loss on the labelled noisy images: of parts there
    is then their own ranking alone, in both files.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    if "by" in settings:
        _write_by_gradients(context)
        return
    network = context.network()
    noisy, paired_clean, other_clean = noisy_and_clean(context.data, settings["distortion"], seed=seed)
    maps = _Maps(network, settings["at"])
    if settings["pairing"] == "paired":
        distances = _paired(maps, paired_clean, noisy, settings)
    else:
        distances = _of_exemplars(maps, other_clean, noisy, settings, seed=seed)
    if maps.n_halved:
        smallest = min(batches.size for batches in maps.used)
        context.attempt.write_json("memory", {"batch_size": smallest, "halvings": maps.n_halved})
    rankings = {layer: _elect(found, settings) for layer, found in distances.items()}
    context.attempt.write_json("ranking", {layer: ranking_to_json(found) for layer, found in rankings.items()})
    if settings.get("across_layers"):
        together = torch.cat([distances[layer] for layer in settings["layers"]], dim=-1)
        context.attempt.write_json(ACROSS, ranking_to_json(_elect(together, settings)))
    if "units" in settings:
        units = [
            torch.cat([distances[layer] for layer in layers], dim=-1).mean(dim=-1)
            for layers in settings["units"].values()
        ]
        context.attempt.write_json(UNITS, ranking_to_json(_elect(torch.stack(units, dim=-1), settings)))


def _write_by_gradients(context: StageContext) -> None:
    """Write the rankings by what gradients come to: the measures themselves are the points."""
    settings, found = context.spec.settings, measured(context)
    n_images = noisy_sets(context.data, settings, seed=context.spec.seed or 0).budget.trained_on

    def ranked(values: Tensor) -> dict[str, Any]:
        return ranking_to_json(make_ranking(values, values, rule=settings["by"], n_images=n_images))

    if "parts" in settings:
        of_parts = ranked(torch.stack(list(found.values())))
        context.attempt.write_json("ranking", {UNITS: of_parts})
        context.attempt.write_json(UNITS, of_parts)
        return
    context.attempt.write_json("ranking", {layer: ranked(values) for layer, values in found.items()})
    if settings.get("across_layers"):
        context.attempt.write_json(ACROSS, ranked(torch.cat(list(found.values()))))


def _elect(distances: Tensor, settings: Mapping[str, Any]) -> FilterRanking:
    """Return the ranking by the images' votes, or, of distances between exemplars, by the distances themselves."""
    if distances.ndim == 1:
        return rank_filters(distances)
    return rank_filters(distances, rule=settings["election"], top=settings.get("top", 1))


@dataclass
class _Maps:
    """The network whose maps rank, the place where they are taken, and the batches that they were made in."""

    network: nn.Module
    at: str
    used: list[Batches] = field(default_factory=list)

    def batches(self, images: Images, layers: Sequence[str]) -> Batches:
        """Return the batches of some images."""
        self.used.append(ranking_batches(self.network, images, layers, at=self.at))
        return self.used[-1]

    @property
    def n_halved(self) -> int:
        """Return how often memory was lacking."""
        return sum(batches.n_halved for batches in self.used)


def _paired(maps: _Maps, clean: Split, noisy: Split, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the distances between all clean images and their noisy versions, {layer: (n, f)}."""
    return paired_distances(
        maps.network,
        clean.images,
        noisy.images,
        settings["layers"],
        distance=settings["distance"],
        at=maps.at,
        batch_size=maps.batches(clean.images, settings["layers"]),
    )


def _of_exemplars(
    maps: _Maps, clean: Split, noisy: Split, settings: Mapping[str, Any], *, seed: int
) -> dict[str, Tensor]:
    """Return the distances of the clean set's exemplars to the noisy set's, {layer: (f,)}."""
    found = {}
    for layer in settings["layers"]:
        of_clean, of_noisy = (
            split.images[_exemplars(maps, split, layer, settings, seed=seed, purpose=purpose)]
            for split, purpose in ((clean, "clean"), (noisy, "noisy"))
        )
        distances = exemplar_distances(
            maps.network,
            of_clean,
            of_noisy,
            layer,
            distance=settings["distance"],
            at=maps.at,
            batch_size=maps.batches(of_clean, [layer]),
        )
        found[layer] = distances[layer]
    return found


def _exemplars(
    maps: _Maps, split: Split, layer: str, settings: Mapping[str, Any], *, seed: int, purpose: str
) -> Tensor:
    """Return the positions of a set's exemplars by the wanted features and metric, or of images drawn at random."""
    if settings["features"] == RANDOM:
        drawn = random_exemplars(len(split.images), settings["n_exemplars"], seed=seed, purpose=purpose)
        return drawn.to(split.images.device)
    if settings["features"] == "pixels":
        features = pixel_features(split.images)
    else:
        positive = settings["metric"] == "hamming"
        of_layer = layer if settings["features"] == "maps" else settings["features"]
        size = maps.batches(split.images, [of_layer])
        features = map_features(maps.network, split.images, of_layer, positive=positive, at=maps.at, batch_size=size)
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
