"""A layer that takes the place of a convolution: its settings, and its very parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from engine.errors import InputError

Layer = TypeVar("Layer", bound=nn.Conv2d)


def in_place_of(convolution: nn.Conv2d, make: Callable[..., Layer], **own: Any) -> Layer:
    """Return a layer with the settings of a convolution and its very parameters; draws nothing.

    What parameters and buffers it has beside those are on no device yet.

    Args:
        convolution: what it replaces.
        make: the layer's class, with the arguments of ``nn.Conv2d``.
        own: the arguments that it has beside them.

    Raises:
        InputError: the convolution's weight is no parameter, or whatever the layer refuses.
    """
    if not isinstance(convolution.weight, nn.Parameter):
        raise InputError("its weight is computed (by a parametrisation or by pruning); make it a parameter first")
    layer = make(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        convolution.groups,
        convolution.bias is not None,
        **own,
        padding_mode=convolution.padding_mode,
        device="meta",
    )
    layer.weight = convolution.weight
    layer.bias = convolution.bias
    return layer.train(convolution.training)
