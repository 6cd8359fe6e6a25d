"""Batch normalisation folded into the convolution before it: a tested network passes over its maps fewer times.

A tested network normalises by numbers that do not change, map = scale·response + shift. Both can be a part of the
convolution, s·(k∗x + b) + t = (s·k)∗x + (s·b + t), and of a push–pull layer with ReLUs:
s·(relu(p) − α·relu(q)) + t = clamp(s·p + t) − clamp(α·s·q), where the first is cut off at t, the second at 0, below
where s ≥ 0 and above where it is negative. The answers are the same but for rounding.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from engine.layers.normalise import Normalise
from engine.layers.push_pull import PushPull2d


class FoldedPushPull(nn.Module):
    """A push–pull layer of the paper of 2020 and the batch normalisation after it, for testing.

    Args:
        layer: with ReLUs, and a pull kernel that is larger than the push kernel.
        scale: what its maps are multiplied by, (out_channels,).
        shift: what is added then, (out_channels,).

    Shapes:
        as ``PushPull2d``.
    """

    push_low: Tensor | None
    push_high: Tensor | None
    pull_low: Tensor | None
    pull_high: Tensor | None

    def __init__(self, layer: PushPull2d, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        strength = scale * layer.alpha
        bias = None if layer.bias is None else -layer.bias
        self.push = _convolution(layer, layer.weight, layer.bias, layer.padding, scale, shift)
        self.pull = _convolution(layer, layer.pull_weight, bias, layer.pull_padding, strength, torch.zeros_like(shift))
        for name, of, start in (("push", scale, shift), ("pull", strength, torch.zeros_like(shift))):
            low, high = _limits(of, start)
            self.register_buffer(f"{name}_low", low, persistent=False)
            self.register_buffer(f"{name}_high", high, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the inhibited and normalised response maps."""
        push = _cut(self.push(images), self.push_low, self.push_high)
        return push - _cut(self.pull(images), self.pull_low, self.pull_high)


def _convolution(
    layer: PushPull2d,
    weight: Tensor,
    bias: Tensor | None,
    padding: str | tuple[int, ...],
    scale: Tensor,
    shift: Tensor,
) -> nn.Conv2d:
    """Return one of a layer's two convolutions, with another kernel, scaled and shifted."""
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        tuple(weight.shape[2:]),  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        layer.groups,
        padding_mode=layer.padding_mode,
        device="meta",
    )
    made.weight = nn.Parameter((weight * scale.reshape(-1, 1, 1, 1)).detach(), requires_grad=False)
    moved = shift if bias is None else shift + scale * bias
    made.bias = nn.Parameter(moved.detach().clone(), requires_grad=False)
    return made.eval()


def _limits(scale: Tensor, start: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return what scaled rectified values do not fall below and rise above, (f, 1, 1) each; None where nothing does."""
    is_above = scale >= 0
    low = torch.where(is_above, start, -math.inf).reshape(-1, 1, 1)
    high = torch.where(is_above, math.inf, start).reshape(-1, 1, 1)
    return (low if bool(is_above.any()) else None), (None if bool(is_above.all()) else high)


def _cut(maps: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    if low is None or high is None:  # a single limit takes a pass that is quicker
        return torch.maximum(maps, low) if low is not None else torch.minimum(maps, high)  # type: ignore[arg-type]
    return torch.clamp(maps, low, high)


@torch.no_grad()
def fold_batch_norm(network: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """Return a copy of a network for testing that has its batch normalisations in the convolutions before them.

    Those are folded whose input is a convolution's output that nothing else reads: of ``nn.Conv2d``, or of a
    ``PushPull2d`` with ReLUs and a larger pull kernel. Another one stays as it is: layers of the paper of 2024, and
    those with h = 1, make both responses of one, so that hardly a pass would be saved.

    Args:
        network: in evaluation mode; it stays as it is.

    Returns:
        The copy, and {convolution: the normalisation that is a part of it now}, by names.

    Raises:
        Exception: what the network does depends on values, so that what reads what cannot be told (``torch.fx``).
    """
    folded = copy.deepcopy(network)
    found: dict[str, str] = {}
    replaced: dict[nn.Module, nn.Module] = {}
    for name, norm_name in _pairs(folded):
        layer, norm = folded.get_submodule(name), folded.get_submodule(norm_name)
        assert isinstance(layer, nn.Conv2d)  # as _pairs has them, for the type checker
        assert isinstance(norm, nn.BatchNorm2d)
        replaced |= {layer: _folded(layer, norm), norm: nn.Identity()}
        found[name] = norm_name
    for parent in list(folded.modules()):
        for child_name, child in parent._modules.items():
            if child in replaced:
                parent._modules[child_name] = replaced[child]
    return folded.eval().requires_grad_(False), found


def _folded(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """Return a layer that does the work of both."""
    assert norm.running_mean is not None  # as _pairs has them, for the type checker
    assert norm.running_var is not None
    if isinstance(layer, PushPull2d):
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean * scale
        return FoldedPushPull(layer, scale, shift if norm.bias is None else shift + norm.bias)
    made = copy.copy(layer)
    made._parameters = dict(layer._parameters)
    made.weight, made.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return made


class _Tracer(fx.Tracer):
    """Follows a network down to the layers that could be folded, and to those that look at their input."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is not looked into."""
        return isinstance(m, nn.Conv2d | Normalise) or super().is_leaf_module(m, module_qualified_name)


def _pairs(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of a convolution and of the batch normalisation that alone reads what it responds."""
    graph = _Tracer().trace(network)
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            continue
        before = node.args[0]
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer, norm = network.get_submodule(str(before.target)), network.get_submodule(str(node.target))
        if calls[before.target] == calls[node.target] == 1 and _can_be_folded(layer, norm):
            yield str(before.target), str(node.target)


def _can_be_folded(layer: nn.Module, norm: nn.Module) -> bool:
    if type(norm) is not nn.BatchNorm2d or norm.running_mean is None or norm.training:
        return False
    if any(module._forward_hooks or module._forward_pre_hooks for module in (layer, norm)):
        return False  # correction units, say, come between the two
    if type(layer) is PushPull2d:
        return layer.activation == "relu" and layer.pull_kernel_size != layer.kernel_size
    return type(layer) is nn.Conv2d and isinstance(layer.weight, nn.Parameter)
