"""From a trial's settings to the layers or blocks that it tunes as one: which there are, and how many are chosen."""

from __future__ import annotations

from typing import Any

from torch import nn

from engine.digest import canonical_json
from engine.errors import InputError
from engine.ranking import filter_layers
from engine.ranking.network_parts import Parts, normalisation_parameters, parts_named
from engine.ranking.selection import n_asked
from engine.stages.plan_network import normalisations_of
from engine.stages.planning import Planning
from engine.training.selective import classifier_name


def check_parts(planning: Planning) -> None:
    """Check that the network has the parts that are to be tuned, and as many as are wanted.

    Raises:
        InputError: it has not.
    """
    finetune = planning.config.finetune
    parts = wanted_parts(planning)
    if finetune.which == "all" or finetune.threshold is not None:
        return
    n = n_asked(len(parts), fraction=finetune.fraction, count=finetune.count)
    if not 1 <= n <= len(parts):
        name, value = ("fraction", finetune.fraction) if finetune.count is None else ("count", finetune.count)
        raise InputError(
            f"`finetune.{name}` = {value:g} selects {n} of the {len(parts)} {finetune.unit}s of `finetune.layers` = "
            f"{finetune.layers!r}: it must select 1 to {len(parts)}"
        )


def chosen_parts(planning: Planning) -> dict[str, Any]:
    """Return what a fine-tuning of whole parts depends on: the parameters, or which of which parts are chosen."""
    finetune, parts = planning.config.finetune, wanted_parts(planning)
    further = _classifier(planning) if finetune.train_classifier else ()
    n = 0 if finetune.threshold is not None else n_asked(len(parts), fraction=finetune.fraction, count=finetune.count)
    if finetune.which == "all" or n == len(parts):
        names = [name for part in parts.values() for name in part]
        return {"which": "all", "parameters": _in_order(planning.network, [*names, *further])}
    size = {"threshold": finetune.threshold} if finetune.threshold is not None else {"count": n}
    return {
        "which": finetune.which,
        "parts": {name: list(own) for name, own in parts.items()},
        **size,
        **({"further": list(further)} if further else {}),
    }


def wanted_parts(planning: Planning) -> Parts:
    """Return the parts that ``finetune.layers`` means, with the parameters that are tuned of each.

    γ and β are tuned with ``finetune.batch_norm`` = "affine" alone.

    Raises:
        InputError: the network has none of a name.
    """
    return planning.once("parts", lambda: _wanted_parts(planning))


def layers_of_parts(planning: Planning) -> dict[str, list[str]]:
    """Return {part: the layers in it whose filters can be ranked by their maps}."""
    rankable = filter_layers(planning.network)
    kernels = {name: {own.rpartition(".")[0] for own in names} for name, names in wanted_parts(planning).items()}
    return {name: [layer for layer in rankable if layer in layers] for name, layers in kernels.items()}


def _wanted_parts(planning: Planning) -> Parts:
    finetune, network = planning.config.finetune, planning.network
    norms = normalisation_parameters(network)
    parts = parts_named(finetune.layers, finetune.unit, network)
    if finetune.batch_norm == "frozen":
        kept = {name: tuple(own for own in names if own not in norms) for name, names in parts.items()}
    elif finetune.unit == "layer":
        kept = _with_normalisations(planning, parts)
    else:
        kept = parts
    empty = [name for name, names in kept.items() if not names]
    if empty:
        raise InputError(
            f"{finetune.unit} {empty[0]!r} of `finetune.layers` has nothing to tune but normalisation: "
            "that needs `finetune.batch_norm`=affine"
        )
    return kept


def _with_normalisations(planning: Planning, parts: Parts) -> Parts:
    """Return layers with the γ and β of the normalisations that take exactly what they return."""
    norms = normalisations_of(canonical_json(planning.network_settings))
    own = {
        norm: [f"{norm}.{each}" for each, _ in planning.network.get_submodule(norm).named_parameters(recurse=False)]
        for norm in norms.values()
    }
    return {name: (*names, *own.get(norms.get(name, ""), ())) for name, names in parts.items()}


def _classifier(planning: Planning) -> tuple[str, ...]:
    name = classifier_name(planning.network)
    layer = planning.network.get_submodule(name)
    return tuple(f"{name}.{own}" for own, _ in layer.named_parameters(recurse=False))


def _in_order(network: nn.Module, names: list[str]) -> list[str]:
    wanted = set(names)
    return [name for name, _ in network.named_parameters() if name in wanted]
