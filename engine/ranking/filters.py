"""Which layers of a model have filters to rank, and what belongs to a filter beside its kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from engine.errors import InputError, unknown_name
from engine.ranking.trace import ForwardTrace, evaluating


@dataclass(frozen=True)
class FilterUnit:
    """A convolution and what follows it, by the names of the modules.

    Args:
        convolution: the convolution.
        normalisation: the module that receives exactly the convolution's output; None where there is none.
        activation: the module that activates exactly the normalised map; None for a function called in a ``forward``.
        function: the activation's function ("relu"); None where nothing activates the normalised map directly, as
            before a residual addition, a concatenation or a pooling: the activation map is then its ReLU, by rule.
    """

    convolution: str
    normalisation: str | None = None
    activation: str | None = None
    function: str | None = None


def filter_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions whose filters can be ranked, by name, in the order of ``named_modules``.

    These are the two-dimensional convolutions, push–pull ones included, with a kernel larger than 1×1. Only the modules
    are looked at, so a model on the meta device will do.
    """
    found: dict[str, nn.Module] = {}
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith(inside):
            if max(module.kernel_size) > 1:
                found[name] = module
            inside += (f"{name}.",)
    return found


def wanted_layers(model: nn.Module, layers: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the names as a tuple, None standing for all rankable layers.

    Raises:
        InputError: a name is not a rankable layer's, or there is none.
    """
    known = filter_layers(model)
    wanted = tuple(known) if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
    for name in wanted:
        if name not in known:
            raise unknown_name("rankable layer", name, known)
    if not wanted:
        raise InputError("no layer to rank: the model or the list of layers has no convolution with a kernel above 1×1")
    return wanted


def filter_units(model: nn.Module, example: torch.Tensor) -> dict[str, FilterUnit]:
    """Return, for each rankable layer that a forward pass reaches, what belongs to its filters.

    Found by one forward pass in evaluation mode, by following the tensors themselves; the model is left as it was.

    Args:
        model: any model; may be on the meta device if ``example`` is too.
        example: images ``(n, c, h, w)`` as the model takes them; one is enough.
    """
    trace = ForwardTrace(model, tuple(filter_layers(model)))
    with evaluating(model), trace.watch():
        model(example)
    return {
        name: FilterUnit(name, trace.seen[name].normalisation, trace.seen[name].activation, trace.seen[name].function)
        for name in filter_layers(model)
        if name in trace.seen
    }
