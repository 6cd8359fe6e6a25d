"""What of a study only its store knows: how long stages took and where, rankings of filters, learned strengths."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.store.artifact import CorruptArtifactError

if TYPE_CHECKING:
    from engine.report.views import Plot
    from engine.store import Artifact, Store

PATIENCE_S = 4.0
"""How long stages are looked up: those of a study of 1,000 trials in a folder take less, a bucket's may take more."""
SWITCHED = "where noise switches filters on or off"
"""How sentences on the maps of Fig. 6 begin."""
MOST_NETWORKS = 12
"""Networks that are loaded for their strengths, and rankings that are read."""


@dataclass(frozen=True)
class TunedFilters:
    """How one trial's filters were ranked, and which were tuned.

    Attributes:
        trial: whose.
        rankings: {layer: {"points", "mean_distance", "rule", "n_images"}}.
        chosen: {layer: indices of those that were tuned}.
        spec: of the ranking: by which distance, between maps taken where, computed on what.
    """

    trial: TrialResult
    rankings: Mapping[str, Mapping[str, Any]]
    chosen: Mapping[str, Sequence[int]]
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def distance(self) -> str:
        """Return the name of the distance between clean and noisy maps, and where these were taken."""
        settings = self.spec.get("settings", {})
        return f"{settings.get('distance', 'distance')} after the {settings.get('at', 'layer')}"


@dataclass(frozen=True)
class Strengths:
    """The inhibition strengths α that a trial's network has learned.

    Attributes:
        trial: whose.
        by_layer: {layer: one a kernel, or one of all}.
    """

    trial: TrialResult
    by_layer: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class StoredValues:
    """What a store says of a study's trials.

    Attributes:
        seconds: {key: that its stage took}, of the stages that are there.
        made_on: {key: what it was made with, as in its manifest}.
        filters: of some trials whose filters were ranked.
        strengths: of some trials that have learned them.
        disparity: where noise switches filters of some networks on or off; None where no network was run.
        missing: a sentence for each thing that could not be read.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    made_on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    filters: Sequence[TunedFilters] = ()
    strengths: Sequence[Strengths] = ()
    disparity: Plot | None = None
    missing: Sequence[str] = ()


def read_stored(results: Results, store: Store) -> StoredValues:
    """Return what a store says of a study's trials; what it lacks is said, and nothing in it is changed."""
    seconds, made_on, unseen = _manifests(results, store)
    missing = [unseen] if unseen else []
    filters, lacking = _filters(_with_stages(results, "rank"), store)
    missing += [lacking] if lacking else []
    strengths, why = _strengths(_learning(results), store)
    missing += [why] if why else []
    return StoredValues(seconds, made_on, filters, strengths, missing=missing)


def _manifests(results: Results, store: Store) -> tuple[dict[str, float], dict[str, Mapping[str, Any]], str]:
    """Return times and environments by key, and what was not found."""
    keys = list(dict.fromkeys(key for trial in results.trials for key in trial.stages.values()))
    seconds: dict[str, float] = {}
    made_on: dict[str, Mapping[str, Any]] = {}
    until, looked_at = time.monotonic() + PATIENCE_S, 0
    for key in keys:
        if time.monotonic() > until:
            break
        looked_at += 1
        artifact = store.look_at(key)
        if artifact is not None:
            seconds[key] = float(artifact.manifest.get("seconds", 0.0))
            made_on[key] = artifact.manifest.get("environment") or {}
    if looked_at < len(keys):
        return seconds, made_on, f"times are of {looked_at} of {len(keys)} stages: the store answers too slowly for all"
    if len(seconds) < len(keys):
        lacking = len(keys) - len(seconds)
        return (
            seconds,
            made_on,
            (
                f"{lacking} of {len(keys)} stages are not in the store (of trials that were pruned or failed, cleaned "
                "up, or computed for another store): their times are not known"
            ),
        )
    return seconds, made_on, ""


def _with_stages(results: Results, stage: str) -> list[TrialResult]:
    """Return a complete trial of every group that has a stage, and the best proposal if it has it."""
    best = results.best()
    firsts = [next((t for t in group.trials if stage in t.stages), None) for group in results.groups()]
    found = [trial for trial in (*firsts, best) if trial is not None and stage in trial.stages]
    return list({trial.number: trial for trial in found}.values())


def _filters(trials: Sequence[TrialResult], store: Store) -> tuple[list[TunedFilters], str]:
    """Return how filters were ranked, and whose ranking is gone."""
    found, lacking = [], []
    for trial in trials[:MOST_NETWORKS]:
        ranked = store.look_at(trial.stages["rank"])
        rankings = _json(store, trial.stages["rank"], "ranking")
        chosen = _json(store, trial.stages.get("finetune", ""), "filters")
        if ranked is not None and rankings:
            found.append(TunedFilters(trial, rankings, chosen or {}, ranked.manifest["spec"]))
        else:
            lacking.append(str(trial.number))
    return found, f"the filters’ ranking of trial {', '.join(lacking)} is not in the store" if lacking else ""


def _json(store: Store, key: str, name: str) -> Any:
    """Return a file of an artifact; None where it is not there."""
    artifact = store.look_at(key) if key else None
    try:
        return None if artifact is None else artifact.json(name)
    except CorruptArtifactError:
        return None


def _learning(results: Results) -> list[TrialResult]:
    """Return the complete trials of groups, and the best proposal, whose networks learn their strengths."""
    flat, best = results.space.base.flat(), results.best()
    trials = [*(trial for group in results.groups() for trial in group.trials), *([best] if best is not None else [])]
    found = []
    for trial in trials:
        settings = flat | dict(trial.settings)
        if settings["push_pull.where"] != "none" and settings["push_pull.learn_alpha"] is not None:
            found.append(trial)
    return found


def _strengths(trials: Sequence[TrialResult], store: Store) -> tuple[list[Strengths], str]:
    """Return what networks have learned, and why there is less than there could be."""
    from engine.stages.made_network import made_network  # here: they need torch, and so does nothing else of a report

    found, why = [], []
    for trial in trials[:MOST_NETWORKS]:
        try:
            by_layer = learned_strengths(made_network(trial.stages, store, of=f"trial {trial.number}"))
        except (InputError, CorruptArtifactError) as error:
            why.append(str(error))
            continue
        if by_layer:
            found.append(Strengths(trial, by_layer))
    if len(trials) > MOST_NETWORKS:
        why.append(f"learned strengths are of {MOST_NETWORKS} networks of {len(trials)}")
    return found, "; ".join(dict.fromkeys(why))


def learned_strengths(made: list[Artifact]) -> dict[str, list[float]]:
    """Return {layer: its learned strengths α, one a kernel or one of all} of a network in artifacts."""
    import torch

    from engine.layers import PushPull2d
    from engine.stages.network import restore_network

    network = restore_network(made, torch.device("cpu"))
    return {
        name: layer.alpha.detach().reshape(-1).tolist()
        for name, layer in network.named_modules()
        if isinstance(layer, PushPull2d) and layer.learn_alpha is not None
    }
