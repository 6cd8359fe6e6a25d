"""What views show of the rankings that a study's trials have stored: how far they agree, and their controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch

from engine.ranking import FilterRanking, compare_rankings, n_selected
from engine.report.ranking_controls import control_rows
from engine.report.ranking_rows import Row, make_row, pair_rows
from engine.report.trial_results import TrialResult
from engine.report.views import Shown
from engine.settings import TrialConfig
from engine.stages.network import load_network
from engine.stages.rank import ranking_from_json

N_DRAWS = 20
"""How often random images and halves are drawn."""

Rankings = dict[str, FilterRanking]
"""{layer: ranking}."""


def stored_rankings(shown: Shown, arms: Mapping[str, str]) -> dict[int, dict[str, tuple[TrialResult, Rankings]]]:
    """Return {seed: {name: (trial, its ranking of each layer)}}, of the seeds that all arms are complete on.

    Args:
        shown: the study.
        arms: {name: arm}.

    Raises:
        InputError: a ranking was cleaned up.
    """
    groups = {group.name: {trial.seed: trial for trial in group.trials} for group in shown.results.groups()}
    trials = {name: groups.get(arm, {}) for name, arm in arms.items()}
    seeds = sorted(set.intersection(*map(set, trials.values())))
    return {
        seed: {name: (by_seed[seed], _ranking(shown, by_seed[seed])) for name, by_seed in trials.items()}
        for seed in seeds
    }


def _ranking(shown: Shown, trial: TrialResult) -> Rankings:
    found = shown.artifact(trial, "rank").json("ranking")
    return {layer: ranking_from_json(value) for layer, value in found.items()}


def config_of(shown: Shown, trial: TrialResult) -> TrialConfig:
    """Return a trial's configuration."""
    return shown.results.space.config(trial.settings, seed=trial.seed)


def comparing(config: TrialConfig) -> Any:
    """Return ``compare_rankings`` on the share of the filters that a configuration selects."""
    return partial(compare_rankings, fraction=config.finetune.fraction, count=config.finetune.count)


def n_chosen(config: TrialConfig, rankings: Rankings) -> dict[str, int]:
    """Return {layer: how many filters a configuration selects}."""
    finetune = config.finetune
    return {
        layer: n_selected(ranking.n_filters, fraction=finetune.fraction, count=finetune.count)
        for layer, ranking in rankings.items()
    }


def variant_rows(
    shown: Shown, found: Mapping[int, Mapping[str, tuple[TrialResult, Rankings]]], reference: str
) -> Iterator[Row]:
    """Yield how far each ranking agrees with one of them, a row a seed and layer."""
    for seed, by_name in found.items():
        trial, paired = by_name[reference]
        compare = comparing(config_of(shown, trial))
        for name, (_, rankings) in by_name.items():
            if name != reference:
                for layer, ranking in rankings.items():
                    what = {"seed": seed, "kind": "variant", "layer": layer, "ranking": name, "draw": 0}
                    yield make_row(compare(ranking, paired[layer]), **what)


def overlap_rows(shown: Shown, found: Mapping[int, Mapping[str, tuple[TrialResult, Rankings]]]) -> Iterator[Row]:
    """Yield how far every two rankings agree, a row a seed and layer."""
    for seed, by_name in found.items():
        compare = comparing(config_of(shown, next(iter(by_name.values()))[0]))
        rankings = {name: ranking for name, (_, ranking) in by_name.items()}
        yield from pair_rows(rankings, compare, seed=seed, kind="distortions", distortion="")


def controls(shown: Shown, trial: TrialResult, layers: list[str]) -> Iterator[Row]:
    """Yield how far each control agrees with a trial's paired ranking, a row a draw.

    Raises:
        InputError: the network or the images cannot be had any more.
    """
    network = load_network(shown.artifact(trial, "pretrain"), None, torch.device("cpu"))
    return control_rows(config_of(shown, trial), shown.data(), network, layers, N_DRAWS, seed=trial.seed)
