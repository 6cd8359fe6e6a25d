"""A network cut in two: what comes before the tuned parameters, and the rest.

What no tuned parameter has touched is the same for an image in every epoch. So it is computed once, and the rest of the
network is trained on these features. The cut is made in the network's graph, as torch.fx traces it: a residual branch
around the tuned layer is one more feature, and whatever stands beside the tuned layers is computed once as well.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from engine.data import Split
from engine.data.scratch import scratch
from engine.data.streamed import batch_size
from engine.metrics.classification import as_input
from engine.precision import in_full, network_pass

FEATURES_MAX_BYTES = 2 * 2**30
"""Features that would take more are not kept: the whole network runs in every step instead."""

_BATCH = 256


@dataclass(frozen=True)
class CutNetwork:
    """A network as two modules that share its parameters; the second has them under their own names.

    Attributes:
        frozen: float images (n, c, h, w) in, features (n, d) out, float; no tuned parameter in it.
        rest: features in, logits out.
        n_features: d.
    """

    frozen: nn.Module
    rest: nn.Module
    n_features: int

    def fits(self, n_images: int) -> bool:
        """Return whether the features of so many images are few enough to be kept."""
        return 4 * n_images * self.n_features <= FEATURES_MAX_BYTES

    @torch.no_grad()
    def features(self, split: Split) -> Split:
        """Return a split with the features (n, d) in the place of the images."""
        size = batch_size(split.images, _BATCH)
        features: Tensor | None = None
        for start, images in zip(range(0, len(split), size), split.images.split(size), strict=True):
            with network_pass(images.device):
                found = in_full(self.frozen(as_input(images)))
            if features is None:
                features = scratch((len(split), self.n_features), found.dtype, found.device)
            features[start : start + size] = found
        assert features is not None  # a split has images
        return Split(features, split.labels, split.indices)


def cut_network(network: nn.Module, tuned: Collection[str], example: Tensor) -> CutNetwork | None:
    """Cut a network before the parameters that are tuned.

    Args:
        network: in evaluation mode.
        tuned: names of the tuned parameters.
        example: float images (n, c, h, w) that it takes, to learn the features' sizes and to try the cut.

    Returns:
        The two halves; None where no layer with parameters comes before the tuned ones, or where the network cannot be
        cut: its forward depends on values, or on the size of the batch.
    """
    try:
        graph = _Tracer().trace(network)
    except Exception:  # a forward that branches on values raises as it likes when it is traced
        return None
    fixed = _fixed_nodes(graph, tuned)
    if not any(node.op == "call_module" and _has_parameters(network, node) for node in fixed):
        return None
    cut = [node for node in graph.nodes if node in fixed and node.op != "get_attr" and not node.users.keys() <= fixed]
    frozen = _module(network, _frozen_graph(graph, fixed, cut))
    with torch.no_grad():
        found = frozen(example)
        shapes = [tuple(value.shape[1:]) if _is_maps(value, example) else None for value in found]
        if None in shapes:
            return None
        rest = _module(network, _rest_graph(graph, fixed, cut, shapes))  # type: ignore[arg-type]
        whole = _Packed(frozen)
        features = whole(example)
        if not torch.allclose(rest(features), network(example), rtol=1e-3, atol=1e-4):
            return None
    return CutNetwork(whole, rest, features.shape[1])


class _Packed(nn.Module):
    """What a frozen part returns, each image's in one line."""

    def __init__(self, frozen: nn.Module) -> None:
        super().__init__()
        self.frozen = frozen

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, d)."""
        return torch.cat([value.flatten(1) for value in self.frozen(images)], dim=1)


class _Tracer(fx.Tracer):
    """Takes a layer as one: what is inside a convolution, such as a correction unit, runs with it."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return hasattr(m, "weight") or not any(True for _ in m.children())


def _fixed_nodes(graph: fx.Graph, tuned: Collection[str]) -> set[fx.Node]:
    """Return the nodes whose values no tuned parameter reaches."""
    fixed: set[fx.Node] = set()
    for node in graph.nodes:
        own = node.op == "get_attr" and node.target in tuned
        inside = node.op == "call_module" and any(name.startswith(f"{node.target}.") for name in tuned)
        if node.op != "output" and not own and not inside and fixed.issuperset(node.all_input_nodes):
            fixed.add(node)
    return fixed


def _has_parameters(network: nn.Module, node: fx.Node) -> bool:
    return any(True for _ in network.get_submodule(str(node.target)).parameters())


def _module(network: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """Return a graph as a module in evaluation mode, with the network's own layers, as far as it uses them."""
    module = fx.GraphModule(network, graph)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module.eval()


def _is_maps(value: object, example: Tensor) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1 and len(value) == len(example)


def _frozen_graph(graph: fx.Graph, fixed: Collection[fx.Node], cut: Iterable[fx.Node]) -> fx.Graph:
    made = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in fixed:
            copies[node] = made.node_copy(node, copies.__getitem__)
    made.output(tuple(copies[node] for node in cut))
    return made


def _rest_graph(
    graph: fx.Graph, fixed: Collection[fx.Node], cut: Iterable[fx.Node], shapes: Iterable[tuple[int, ...]]
) -> fx.Graph:
    """Return the graph that takes the features apart again and goes on from them."""
    made = fx.Graph()
    features = made.placeholder("features")
    copies: dict[fx.Node, fx.Node] = {}
    start = 0
    for node, shape in zip(cut, shapes, strict=True):
        end = start + torch.Size(shape).numel()
        lines = made.call_function(operator.getitem, (features, (slice(None), slice(start, end))))
        copies[node] = _as_maps(made, lines, shape)
        start = end
    for node in graph.nodes:
        if node not in copies and (node not in fixed or node.op == "get_attr"):
            copies[node] = made.node_copy(node, copies.__getitem__)
    return made


def _as_maps(graph: fx.Graph, lines: fx.Node, shape: tuple[int, ...]) -> fx.Node:
    maps = graph.call_method("unflatten", (lines, 1, shape))
    if len(shape) == 3:  # laid out as the rest of the network has its maps
        return graph.call_method("contiguous", (maps,), {"memory_format": torch.channels_last})
    return maps
