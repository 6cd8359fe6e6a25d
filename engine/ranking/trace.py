"""One forward pass that is watched: which normalisation and activation take a convolution's output, and their maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

PLACES = ("convolution", "normalisation", "activation")

NORMALISATIONS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d, nn.GroupNorm)

ACTIVATION_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.prelu, F.rrelu, F.softplus),
        *(F.softsign, F.hardtanh, F.hardswish, F.hardsigmoid, F.logsigmoid, F.threshold, F.hardshrink, F.softshrink),
        *(F.tanhshrink, F.relu_, F.leaky_relu_, F.elu_, F.selu_, F.celu_, F.rrelu_, F.hardtanh_),
        *(torch.relu, torch.relu_, torch.sigmoid, torch.sigmoid_, torch.tanh, torch.tanh_, torch.selu, torch.celu),
        *(torch.Tensor.relu, torch.Tensor.relu_, torch.Tensor.sigmoid, torch.Tensor.sigmoid_),
        *(torch.Tensor.tanh, torch.Tensor.tanh_, torch.Tensor.clamp_min, torch.clamp_min),
    }
)


class ForwardStopError(Exception):
    """Ends a forward pass early: all that was wanted of it has been seen."""


@dataclass
class Sighting:
    """What a forward pass showed of one convolution's filters."""

    normalisation: str | None = None
    activation: str | None = None
    function: str | None = None
    maps: dict[str, torch.Tensor] = field(default_factory=dict)


class _Followed(NamedTuple):
    """A tensor under way; it is held so that its id is not used again."""

    tensor: torch.Tensor
    layer: str
    version: int


class ForwardTrace(TorchFunctionMode):
    """Follows convolutions' outputs through a forward pass, by the identity of the tensors.

    The normalisation of a convolution is the module that receives exactly the tensor that the convolution returned; its
    activation is the first call of an activation function, by a module or in a ``forward``, on exactly the normalised
    tensor (the convolution's own where nothing normalises it). A tensor that was written over in between, as by an
    in-place residual addition, is not that tensor any more. Of a convolution that runs twice, the first call counts.

    Args:
        model: the model whose forward runs inside ``watch()``.
        layers: names of its convolutions to follow.
        keep: the place whose map is copied, by layer; copied, because a later in-place operation writes over it.
        complete: told of each sighting; True ends the forward by raising ``ForwardStopError``.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        *,
        keep: Mapping[str, str] | None = None,
        complete: Callable[[dict[str, Sighting]], bool] = lambda seen: False,
    ) -> None:
        super().__init__()
        self.seen: dict[str, Sighting] = {}
        self._modules = dict(model.named_modules())
        self._layers = tuple(layers)
        self._keep = dict(keep or {})
        self._complete = complete
        self._followed: dict[int, _Followed] = {}
        self._running: list[tuple[str, torch.Tensor | None]] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Hook the model and intercept the functions it calls; both end with the block."""
        with ExitStack() as stack:
            for name, module in self._modules.items():
                if name in self._layers:
                    stack.callback(module.register_forward_hook(self._convolved(name)).remove)
                elif isinstance(module, NORMALISATIONS):
                    stack.callback(module.register_forward_hook(self._normalised(name)).remove)
                elif not any(True for _ in module.children()):
                    stack.callback(module.register_forward_pre_hook(self._entered(name)).remove)
                    stack.callback(module.register_forward_hook(self._left).remove)
            stack.enter_context(self)
            yield

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, and record its result where it is an activation of a followed tensor."""
        kwargs = kwargs or {}
        if func not in ACTIVATION_FUNCTIONS:
            return func(*args, **kwargs)
        taken = args[0] if args else kwargs.get("input")
        layer = self._layer_of(taken)
        result = func(*args, **kwargs)
        if layer is not None and self.seen[layer].function is None:
            sighting = self.seen[layer]
            sighting.function = getattr(func, "__name__", "activation").strip("_")
            sighting.activation = next((name for name, given in self._running[-1:] if given is taken), None)
            self._forget(layer)
            self._record(layer, "activation", result)
        return result

    def _convolved(self, layer: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            if layer not in self.seen:
                self.seen[layer] = Sighting()
                self._follow(layer, "convolution", output)

        return hook

    def _normalised(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            layer = self._layer_of(inputs[0]) if inputs else None
            if layer is not None and self.seen[layer].normalisation is None:
                self.seen[layer].normalisation = name
                self._forget(layer)
                self._follow(layer, "normalisation", output)

        return hook

    def _entered(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._running.append((name, inputs[0] if inputs else None))

        return hook

    def _left(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._running.pop()

    def _layer_of(self, tensor: object) -> str | None:
        followed = self._followed.get(id(tensor))
        unchanged = followed is not None and followed.tensor._version == followed.version
        return followed.layer if followed is not None and unchanged else None

    def _follow(self, layer: str, place: str, tensor: torch.Tensor) -> None:
        self._followed[id(tensor)] = _Followed(tensor, layer, tensor._version)
        self._record(layer, place, tensor)

    def _forget(self, layer: str) -> None:
        self._followed = {key: entry for key, entry in self._followed.items() if entry.layer != layer}

    def _record(self, layer: str, place: str, tensor: torch.Tensor) -> None:
        if self._keep.get(layer) == place:
            self.seen[layer].maps[place] = tensor.detach().clone()
        if self._complete(self.seen):
            raise ForwardStopError


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, without gradients, and give each its own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():  # inference tensors do not count their versions
            yield
    finally:
        for module, training in modes:
            module.training = training
