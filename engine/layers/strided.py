"""Convolutions with kernels of one pixel and a stride, on CPU, by a path that gives the right gradients.

For such a kernel oneDNN copies the pixels that the stride leaves into a space of its own. Where the images are laid
out channels last and have fewer channels than it takes at a time (8 with AVX2, 16 with AVX-512), the gradient of the
kernels writes beyond that space: it is wrong, or the process dies. Whether this happens depends on the machine and on
the maps' size, so no such convolution is handed to it while its kernels learn: the pixels are taken out here, and what
is left has no stride.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MOST_CHANNELS_AT_A_TIME = 16
"""Of oneDNN's kernels for 1×1 convolutions, on any CPU."""

Pair = int | tuple[int, ...] | list[int]


def convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Return ``torch.nn.functional.conv2d``, whose arguments these are, with right gradients everywhere."""
    if is_overrun(weight, stride, padding, groups):
        input, stride = without_stride(input, stride)
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def is_overrun(weight: Tensor, stride: Pair, padding: Pair | str, groups: int) -> bool:
    """Return whether the kernels' gradient may be computed by what writes beyond its space."""
    return (
        groups == 1
        and weight.shape[1] < MOST_CHANNELS_AT_A_TIME
        and weight.shape[2:] == (1, 1)
        and _pair(stride) != (1, 1)
        and (padding == "valid" if isinstance(padding, str) else _pair(padding) == (0, 0))
        and weight.requires_grad
        and weight.device.type == "cpu"
        and torch.is_grad_enabled()
    )


def without_stride(images: Tensor, stride: Pair) -> tuple[Tensor, Pair]:
    """Return the pixels (…, h, w) that a stride leaves of images, and the stride that is left."""
    vertical, horizontal = _pair(stride)
    return images[..., ::vertical, ::horizontal], (1, 1)


def _pair(value: Pair) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))


class RightGradients(TorchFunctionMode):
    """Within it every two-dimensional convolution, whoever calls it, is ``convolve``.

    Attributes:
        n_found: convolutions so far that would have been overrun.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_found = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, or what stands in its place."""
        kwargs = kwargs or {}
        if func is not F.conv2d:
            return func(*args, **kwargs)
        given = _ARGUMENTS.bind(*args, **kwargs)
        given.apply_defaults()
        wanted = given.arguments
        self.n_found += is_overrun(wanted["weight"], wanted["stride"], wanted["padding"], wanted["groups"])
        return convolve(*given.args, **given.kwargs)


_ARGUMENTS = inspect.signature(convolve)


def make_gradients_right(network: nn.Module) -> nn.Module:
    """Have a network's convolutions of few channels take the right path, in place, and return the network.

    Its layers, their classes, parameters and names stay as they are. What a ``forward`` does without a layer of torch's
    is not reached; ``RightGradients`` is for that.
    """
    for module in network.modules():
        if _is_narrow(module):
            module._conv_forward = partial(  # type: ignore[method-assign]
                _respond,
                stride=module.stride,
                padding=module.padding,
                dilation=module.dilation,
                extension=None if module.padding_mode == "zeros" else module._reversed_padding_repeated_twice,
                mode=module.padding_mode,
            )
    return network


def _is_narrow(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a layer is one of torch's convolutions, as it comes, that can be overrun."""
    return (
        isinstance(module, nn.Conv2d)
        and type(module)._conv_forward is nn.Conv2d._conv_forward
        and "_conv_forward" not in vars(module)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.groups == 1
        and module.in_channels < MOST_CHANNELS_AT_A_TIME
    )


def _respond(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    extension: list[int] | None,
    mode: str,
) -> Tensor:
    """Return what an ``nn.Conv2d`` without groups responds; no closure, so that networks can be pickled."""
    if extension is not None:
        images, padding = F.pad(images, extension, mode=mode), 0
    return convolve(images, weight, bias, stride, padding, dilation)
