"""The ranking by gradients instead of maps: what it depends on, and what it measures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.errors import InputError
from engine.ranking.gradients import GRADIENT, filter_groups, measure_parts
from engine.ranking.network_parts import normalisation_parameters
from engine.stages.context import StageContext
from engine.stages.noisy import noisy_sets
from engine.stages.plan_filters import tuning
from engine.stages.plan_parts import wanted_parts
from engine.stages.planning import Planning


def gradient_settings(planning: Planning) -> dict[str, Any]:
    """Return what a ranking by gradients depends on.

    A part's normalisations are not measured, whether they are tuned or not.
    """
    ranking, chosen = planning.config.rank, tuning(planning)
    settings: dict[str, Any] = {"by": ranking.by, **planning.noisy()}
    if ranking.by == GRADIENT:
        settings["batch_size"] = min(ranking.batch_size, planning.n_noisy())
    if "parts" in chosen:
        return {**settings, "parts": _measured_parts(planning)}
    across = {"across_layers": True} if "count" in chosen else {}
    return {**settings, "layers": list(chosen["n_filters"]), **across}


def check_measured(planning: Planning) -> None:
    """Check that all parts have something to measure.

    Raises:
        InputError: one consists of normalisations alone.
    """
    if "parts" not in tuning(planning):
        return
    for part, names in _measured_parts(planning).items():
        if not names:
            raise InputError(
                f"{planning.config.finetune.unit} {part!r} has normalisations alone, which `rank.by`="
                f"{planning.config.rank.by} does not measure: leave it out of `finetune.layers`"
            )


def _measured_parts(planning: Planning) -> dict[str, list[str]]:
    norms = normalisation_parameters(planning.network)
    return {name: [own for own in names if own not in norms] for name, names in wanted_parts(planning).items()}


def measured(context: StageContext) -> dict[str, Tensor]:
    """Return how much the labelled noisy images that are trained on ask of each filter or part to change.

    Returns:
        {layer: (filters,)}, or {layer or block: ()}; float64.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    network = context.network()
    noisy = noisy_sets(context.data, settings, seed=seed).trained_on
    by_row = "parts" not in settings
    groups = filter_groups(network, settings["layers"]) if by_row else settings["parts"]
    return measure_parts(
        network, noisy, groups, by=settings["by"], by_row=by_row, batch_size=settings.get("batch_size", 1)
    )
