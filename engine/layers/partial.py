"""Convolutions whose weights get a gradient for some filters only: a quarter of the filters, a quarter of that work."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.layers.strided import is_overrun, without_stride


def limit_weight_gradient(convolution: nn.Module, filters: Tensor) -> None:
    """Have a convolution compute the gradients of some filters' kernels and biases alone, from now on.

    The others' gradients are zero. What it responds, and the gradient of its input, stay as they are. Grouped
    convolutions, and paddings that are named or not of zeros, are left alone: they go on to compute all gradients.

    Args:
        convolution: an ``nn.Conv2d``, a ``PushPull2d``, or a ``PushPullConv2d`` (whose kernels all have a gradient
            through their ranges of values still).
        filters: their indices, int64, each once.
    """
    plain = convolution.groups == 1 and convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    if not plain or len(filters) >= len(convolution.weight):  # type: ignore[arg-type]
        return
    stride, padding, dilation = (getattr(convolution, name) for name in ("stride", "padding", "dilation"))

    own = {filters.device: filters}  # copied once to where it is needed, not at every step

    def convolve(images: Tensor, weight: Tensor, bias: Tensor | None, around: tuple[int, int] = padding) -> Tensor:
        if not weight.requires_grad:
            return F.conv2d(images, weight, bias, stride, around, dilation)
        left = stride
        if is_overrun(weight, stride, around, 1):
            images, left = without_stride(images, stride)
        device = images.device.type
        if torch.is_autocast_enabled(device):  # which a Function's backward does not see
            low = torch.get_autocast_dtype(device)
            images, weight, bias = images.to(low), weight.to(low), None if bias is None else bias.to(low)
        if images.device not in own:
            own[images.device] = filters.to(images.device)
        return _PartlyLearned.apply(images, weight, bias, own[images.device], left, around, dilation)

    convolution._conv_forward = convolve  # type: ignore[assignment]
    if hasattr(convolution, "_convolve"):
        convolution._convolve = convolve  # type: ignore[assignment]


class _PartlyLearned(torch.autograd.Function):
    """``F.conv2d`` of zero-padded images, whose weight and bias have gradients in some rows only."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        filters: Tensor,
        *geometry: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(images, weight, filters)
        ctx.geometry, ctx.has_bias = geometry, bias is not None
        stride, padding, dilation = geometry
        return F.conv2d(images, weight, bias, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight, filters = ctx.saved_tensors
        of_images = None
        if ctx.needs_input_grad[0]:
            of_images = _backward(gradient, images, weight, ctx, (True, False, False))[0]
        own = gradient[:, filters]
        if gradient.is_contiguous(memory_format=torch.channels_last):
            own = own.contiguous(memory_format=torch.channels_last)
        _, of_kernels, of_biases = _backward(own, images, weight[filters], ctx, (False, True, ctx.has_bias))
        of_weight = torch.zeros_like(weight).index_copy_(0, filters, of_kernels)
        of_bias = weight.new_zeros(len(weight)).index_copy_(0, filters, of_biases) if ctx.has_bias else None
        return (of_images, of_weight, of_bias, *[None] * (1 + len(ctx.geometry)))


def _backward(gradient: Tensor, images: Tensor, weight: Tensor, ctx: Any, wanted: tuple[bool, bool, bool]) -> Any:
    bias = [len(weight)] if ctx.has_bias else None
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, bias, *ctx.geometry, False, (0, 0), 1, list(wanted)
    )
