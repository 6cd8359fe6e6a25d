"""The parts of a network that are larger than a filter: its layers, and its blocks, by the names of their parameters.

Blocks are found in any network by the order of its modules: one with several weight layers is a block (a residual
stage, a dense block, a transformer's encoder layer), and a single layer belongs to a block beside it: a stem to the
first one, a transition to the one before it. A plain chain of layers is cut where its maps get smaller. So the blocks
together are the whole network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from engine.errors import InputError, unknown_name
from engine.layers.layer_names import layers_named
from engine.ranking.trace import ForwardTrace, evaluating

Parts = dict[str, tuple[str, ...]]
"""{part: names of its parameters}, both in the network's order."""

_WEIGHTED = (_ConvNd, nn.Linear, nn.MultiheadAttention)
_NORMALISING = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
_SIGNS = "*?["


def weight_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return all convolutions and linear layers, whatever their size, by name; what is inside of one is part of it."""
    found: dict[str, nn.Module] = {}
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if isinstance(module, _WEIGHTED) and not name.startswith(inside):
            found[name] = module
            inside += () if isinstance(module, nn.MultiheadAttention) else (f"{name}.",)
    return found


def layer_parts(model: nn.Module) -> Parts:
    """Return the layers: each one's kernel, bias and inhibition strengths."""
    return {
        name: tuple(f"{name}.{own}" for own, _ in layer.named_parameters(recurse=False))
        for name, layer in weight_layers(model).items()
    }


def block_parts(model: nn.Module) -> Parts:
    """Return the blocks, of which every parameter belongs to one, normalisations' included."""
    groups = _grouped(model, *_opened(model))
    parameters = [name for name, _ in model.named_parameters()]
    of = {name: _holder(name, groups) for name in parameters}
    first = next(iter(groups), "")  # what a module has beside its children, as embeddings of places, comes before them
    return {block: tuple(name for name in parameters if (of[name] or first) == block) for block in groups}


def parts_named(words: str, unit: str, model: nn.Module) -> Parts:
    """Return the parts that "first", "all", "first-K", or names and patterns joined by commas mean.

    A name that is no block's, but a module's, is a block of that module alone ("layer2.0").

    Args:
        words: what is meant.
        unit: "layer" or "block".
        model: whose parts; may be on the meta device.

    Raises:
        InputError: there are none, or not so many, of a name, or a parameter would be in two.
    """
    known = layer_parts(model) if unit == "layer" else block_parts(model)
    words = words.strip()
    if words == "all":
        return known
    if words == "first" or words.startswith("first-"):
        count = "1" if words == "first" else words.removeprefix("first-")
        if count not in map(str, range(1, len(known) + 1)):
            raise InputError(
                f"`finetune.layers` = 'first-K' needs K from 1 to the network's {len(known)} {unit}s, got {words!r}"
            )
        return dict(list(known.items())[: int(count)])
    found: Parts = {}
    for word in filter(None, map(str.strip, words.split(","))):
        meant = {name: known[name] for name in layers_named(word, known)}
        meant = meant or (_modules_named(word, model) if unit == "block" else {})
        if not meant:
            raise unknown_name(f"{unit} for `finetune.layers`", word, ["first", "all", "first-K", *known])
        found |= meant
    if not found:
        raise InputError(f"`finetune.layers` must be first, all, first-K or names of {unit}s, got {words!r}")
    _check_apart(found)
    places = {name: place for place, (name, _) in enumerate(model.named_parameters())}
    return dict(sorted(found.items(), key=lambda part: places[part[1][0]]))


def normalised_by(model: nn.Module, example: torch.Tensor) -> dict[str, str]:
    """Return {convolution: the normalisation that takes exactly what it returns}, of those that a forward pass reaches.

    Args:
        model: any model; may be on the meta device if ``example`` is too.
        example: images ``(n, c, h, w)`` as the model takes them.
    """
    convolutions = tuple(name for name, layer in weight_layers(model).items() if isinstance(layer, nn.Conv2d))
    trace = ForwardTrace(model, convolutions)
    with evaluating(model), trace.watch():
        model(example)
    return {name: seen.normalisation for name, seen in trace.seen.items() if seen.normalisation is not None}


def normalisation_parameters(model: nn.Module) -> set[str]:
    """Return the names of all γ and β."""
    return {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if is_normalisation(module)
        for own, _ in module.named_parameters(recurse=False)
    }


def is_normalisation(module: nn.Module) -> bool:
    """Return whether a module normalises maps or features."""
    return isinstance(module, _NORMALISING) or "Norm" in type(module).__name__


def _opened(model: nn.Module) -> tuple[list[str], str]:
    """Return the names of modules that the network runs one after the other, and which of them is its head, or "".

    What holds all blocks, as ``features`` does, is opened: as long as there is one module alone with several layers.
    """
    names = [name for name, child in model.named_children() if _is_part(child)]
    last = names[-1] if len(names) > 1 else ""
    head = last if last and _n_layers(model, last) and not _has_kernels(model.get_submodule(last)) else ""
    while True:
        composite = [name for name in names if name != head and _n_layers(model, name) > 1]
        within = [
            f"{name}.{child}"
            for name in composite[:1]
            for child, module in model.get_submodule(name).named_children()
            if _is_part(module)
        ]
        if len(composite) != 1 or len(within) < 2:
            return names, head
        place = names.index(composite[0])
        names = [*names[:place], *within, *names[place + 1 :]]


def _n_layers(model: nn.Module, name: str) -> int:
    return len(weight_layers(model.get_submodule(name)))


def _is_part(module: nn.Module) -> bool:
    """Return whether a module has parameters, or makes maps smaller."""
    return any(True for _ in module.parameters()) or "Pool" in type(module).__name__


def _has_kernels(module: nn.Module) -> bool:
    return any(isinstance(each, _ConvNd) for each in module.modules())


def _grouped(model: nn.Module, names: list[str], head: str) -> Parts:
    """Return {block: names of its modules}; a block is called after the module with several layers, or the first."""
    n_layers = {name: _n_layers(model, name) for name in names}
    if any(n > 1 for name, n in n_layers.items() if name != head):
        return _beside(n_layers, head)
    return _cut_where_smaller({name: model.get_submodule(name) for name in names}, n_layers)


def _beside(n_layers: Mapping[str, int], head: str) -> Parts:
    """Return blocks of which each has one module with several layers, and what stands beside it."""
    found: Parts = {}
    waiting: tuple[str, ...] = ()
    for name, n in n_layers.items():
        if n > 1 or name == head:
            found[name] = (*waiting, name)
            waiting = ()
        elif found:
            found[next(reversed(found))] += (name,)
        else:
            waiting += (name,)
    return found


def _cut_where_smaller(modules: Mapping[str, nn.Module], n_layers: Mapping[str, int]) -> Parts:
    """Return blocks of a plain chain: layers up to a pooling or a stride, and the linear ones on their own."""
    found: Parts = {}
    ends, kernels = True, True
    for name, module in modules.items():
        if n_layers[name]:
            ends = ends or kernels != _has_kernels(module)
            kernels = _has_kernels(module)
            found = {**found, name: (name,)} if ends or not found else _joined(found, name)
            ends = any(isinstance(each, _ConvNd) and max(each.stride) > 1 for each in module.modules())
        elif any(True for _ in module.parameters()):
            found = _joined(found, name)
        else:
            ends = True
    return found


def _joined(found: Parts, name: str) -> Parts:
    if not found:
        return {name: (name,)}
    last = next(reversed(found))
    return {**found, last: (*found[last], name)}


def _holder(parameter: str, groups: Mapping[str, Iterable[str]]) -> str:
    """Return the block that a parameter's module is in; "" where none is."""
    return next(
        (block for block, names in groups.items() if any(parameter.startswith(f"{name}.") for name in names)), ""
    )


def _modules_named(word: str, model: nn.Module) -> Parts:
    """Return the modules with parameters that a name or a pattern means, the outermost ones alone."""
    found: Parts = {}
    for name, module in model.named_modules():
        meant = fnmatchcase(name, word) if any(sign in word for sign in _SIGNS) else name == word
        own = tuple(f"{name}.{each}" for each, _ in module.named_parameters())
        if name and meant and own and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = own
    return found


def _check_apart(parts: Mapping[str, Collection[str]]) -> None:
    """Check that no parameter is in two parts.

    Raises:
        InputError: one is.
    """
    seen: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name in seen:
                raise InputError(
                    f"`finetune.layers` must name each part once, got {seen[name]!r} and {part!r}, which both have "
                    f"{name!r}"
                )
            seen[name] = part
