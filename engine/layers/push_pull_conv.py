"""The push–pull convolution of Bennabhaktula, Alegre, Strisciuglio and Azzopardi (2024)."""

from __future__ import annotations

import math
from numbers import Real
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputError, unknown_name
from engine.layers.geometry import Pair, check_geometry
from engine.layers.in_place import in_place_of
from engine.layers.push_pull import PaddingMode
from engine.layers.strided import convolve

Average = Literal[0, 3, 5]


class PushPullConv2d(nn.Conv2d):
    """A convolution inhibited by that of its own kernel, mirrored within its range of values, and averaged.

    ``y = relu(k∗x) − α·relu(mean(p∗x)) + b`` with p = M + m − k, where M and m are the largest and the smallest weight
    of a filter. The mean is over ``average``² neighbours of the pull response, those inside the map only. Stride,
    padding, dilation and groups are those of the kernel for both. Since p∗x = (M + m)·S − k∗x
    with S the sums of the windows, one map a group, there is no second convolution. Gradients reach k through push,
    pull, M and m; equal extremes share theirs. Where M = −m, nothing is averaged and α = 1, it is the plain
    convolution.

    The parameters ``weight`` and ``bias`` have the names and shapes of ``nn.Conv2d``; a learned strength adds
    ``alpha``.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device, dtype: as
            in ``nn.Conv2d``; a new layer's bias is drawn from −1…1, and it is added after the inhibition.
        average: side of the neighbourhood in pixels, 0 (no averaging), 3 or 5.
        alpha: inhibition strength α ≥ 0; where it is learned, what all filters start from.
        learn_alpha: whether each filter learns its own strength. It has no bounds, and may become negative.
        padding_mode: as in ``nn.Conv2d``, for push and pull.

    Shapes:
        images (n, in_channels, height, width) or (in_channels, height, width) to maps as ``nn.Conv2d``.

    Raises:
        InputError: a value out of its range, or an unknown name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        average: int | tuple[int, int] = 3,
        alpha: float = 1.0,
        learn_alpha: bool = False,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_geometry(in_channels, out_channels, groups, kernel_size, stride, padding, dilation)
        if padding_mode not in get_args(PaddingMode):
            raise unknown_name("padding mode", padding_mode, get_args(PaddingMode))
        self._neighbours = _check_average(average)
        self._initial_alpha = _check_alpha(alpha)
        if not isinstance(learn_alpha, bool):
            raise InputError(f"`learn_alpha` must be True or False, got {learn_alpha!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.average = average
        self.learn_alpha = learn_alpha
        self._add_strength()

    @classmethod
    def from_convolution(
        cls, convolution: nn.Conv2d, *, average: int = 3, alpha: float = 1.0, learn_alpha: bool = False
    ) -> PushPullConv2d:
        """Return a layer with the settings of a convolution and its very parameters; draws nothing."""
        layer = in_place_of(convolution, cls, average=average, alpha=alpha, learn_alpha=learn_alpha)
        layer._add_strength()
        return layer

    def reset_parameters(self) -> None:
        """Draw the kernels as ``nn.Conv2d`` does, and biases from −1…1."""
        super().reset_parameters()
        if self.bias is not None:
            nn.init.uniform_(self.bias, -1.0, 1.0)

    @property
    def range_sum(self) -> Tensor:
        """M + m of each filter, (out_channels,)."""
        return self.weight.amax((1, 2, 3)) + self.weight.amin((1, 2, 3))

    @property
    def pull_weight(self) -> Tensor:
        """The pull kernel M + m − k, of the weight's shape."""
        return self.range_sum.reshape(-1, 1, 1, 1) - self.weight

    def forward(self, images: Tensor) -> Tensor:
        """Return the inhibited response maps."""
        push, pull = self._respond(images)
        if self._neighbours is not None:
            margins = [side // 2 for side in self._neighbours]
            pull = F.avg_pool2d(pull, self._neighbours, 1, margins, count_include_pad=False)
        push, pull = torch.relu(push), torch.relu(pull)
        if isinstance(self.alpha, Tensor):
            inhibited = push - self.alpha.reshape(-1, 1, 1).to(pull.dtype) * pull
        else:
            inhibited = torch.sub(push, pull, alpha=self.alpha)
        return inhibited if self.bias is None else inhibited + self.bias.reshape(-1, 1, 1).to(inhibited.dtype)

    def push(self, images: Tensor) -> Tensor:
        """Return the push kernel's response alone: the plain convolution without its bias, rectified."""
        return torch.relu(self._respond(images)[0])

    def extra_repr(self) -> str:
        """Return the settings of the convolution and of the inhibition."""
        learned = ", learn_alpha=True" if self.learn_alpha else ""
        return f"{super().extra_repr()}, average={self.average}, alpha={self._initial_alpha:g}{learned}"

    def _respond(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the responses of both kernels, neither averaged nor rectified."""
        padding = self.padding
        if self.padding_mode != "zeros":
            images, padding = F.pad(images, self._reversed_padding_repeated_twice, mode=self.padding_mode), (0, 0)
        push = self._convolve(images, self.weight, None, padding)
        ones = images.new_ones((self.groups, *self.weight.shape[1:]))
        sums = convolve(images, ones, None, self.stride, padding, self.dilation, self.groups)
        sums = sums.repeat_interleave(self.out_channels // self.groups, -3) if self.groups > 1 else sums
        return push, self.range_sum.reshape(-1, 1, 1).to(sums.dtype) * sums - push

    def _convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None, padding: str | tuple[int, ...]) -> Tensor:
        return convolve(images, weight, bias, self.stride, padding, self.dilation, self.groups)

    def _add_strength(self) -> None:
        self.alpha: nn.Parameter | float
        if not self.learn_alpha:
            self.alpha = self._initial_alpha
            return
        start = torch.full(
            (self.out_channels,), self._initial_alpha, device=self.weight.device, dtype=self.weight.dtype
        )
        self.alpha = nn.Parameter(start)


def _check_average(average: object) -> tuple[int, int] | None:
    """Return the sides of the neighbourhood, None for no averaging."""
    sides = average if isinstance(average, tuple | list) else (average, average)
    if len(sides) != 2 or not all(type(side) is int and side in get_args(Average) for side in sides):
        raise InputError(f"`average` must be 0, 3 or 5, got {average!r}")
    return None if set(sides) == {0} else (max(1, sides[0]), max(1, sides[1]))


def _check_alpha(alpha: object) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not math.isfinite(alpha) or alpha < 0:
        raise InputError(f"`alpha` must be a finite number ≥ 0, got {alpha!r}")
    return float(alpha)
