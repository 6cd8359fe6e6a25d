"""The push–pull layer of Strisciuglio et al. (2020)."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputError, unknown_name
from engine.layers.geometry import check_geometry
from engine.layers.in_place import in_place_of
from engine.layers.pull_kernel import check_h, pull_size, upsampling_steps
from engine.layers.strided import convolve

Activation = Callable[[Tensor], Tensor]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

ACTIVATIONS: dict[str, Activation] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": torch.positive,
}


class PushPull2d(nn.Conv2d):
    """A convolution whose response is inhibited by that of its own kernel, inverted and upsampled.

    ``y = act(k∗x + b) − α·act(−up(k)∗x − b)`` (push–pull paper, section 3.1), where up(k) is k upsampled bilinearly
    with aligned corners to ŝ = :func:`pull_size`, not renormalised. Stride and dilation are those of the push kernel;
    the pull kernel's padding is larger by dilation·(ŝ − s)/2, so that both maps align and have the size of the plain
    convolution's. Only k and b are learned (and α, if wanted); their gradients come through both kernels. With h = 1,
    α = 1 and ReLU it is the plain convolution; followed by a ReLU, h = 1 does not depend on α.

    The parameters ``weight`` and ``bias`` have the names, shapes and initialisation of ``nn.Conv2d``: the state dict of
    a plain network fits its push–pull twin (a learned α adds ``raw_alpha``, with α = softplus(raw_alpha)).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype:
            as in ``nn.Conv2d``; where h > 1 the kernel's sides must be odd, and 1×1 kernels are refused.
        h: upsampling factor of the pull kernel, ≥ 1.
        alpha: inhibition strength α ≥ 0; where it is learned, the value that it starts from, > 0.
        learn_alpha: None for a fixed strength, "layer" to learn one, "kernel" to learn one for each filter.
        activation: a name in ``ACTIVATIONS``, or a function of a tensor that keeps its shape.

    Shapes:
        images (n, in_channels, height, width) or (in_channels, height, width) to maps as ``nn.Conv2d``.

    Raises:
        InputError: a value out of its range, an unknown name, or a kernel that cannot be upsampled; in the forward
            pass, maps too small to be extended by reflection or around their edges as far as the pull kernel reaches.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        *,
        h: float = 2.0,
        alpha: float = 1.0,
        learn_alpha: str | None = None,
        activation: str | Activation = "relu",
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        h = check_h(h)
        alpha = _check_alpha(alpha, learn_alpha)
        activate = _find_activation(activation)
        if padding_mode not in get_args(PaddingMode):
            raise unknown_name("padding mode", padding_mode, get_args(PaddingMode))
        check_geometry(in_channels, out_channels, groups, kernel_size, stride, padding, dilation)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        if h > 1 and self.kernel_size == (1, 1):
            raise InputError(f"a 1×1 kernel has no larger pull kernel: `h` must be 1 for it, got {h:g}")
        self.h = h
        self.learn_alpha = learn_alpha
        self.activation = activation
        self._activate = activate
        self.pull_kernel_size = (pull_size(self.kernel_size[0], h), pull_size(self.kernel_size[1], h))
        self._initial_alpha = alpha
        self._add_strength()
        self._add_interpolation()

    @classmethod
    def from_convolution(
        cls,
        convolution: nn.Conv2d,
        *,
        h: float = 2.0,
        alpha: float = 1.0,
        learn_alpha: str | None = None,
        activation: str | Activation = "relu",
    ) -> PushPull2d:
        """Return a push–pull layer with the settings of a convolution and its very parameters; draws nothing."""
        layer = in_place_of(convolution, cls, h=h, alpha=alpha, learn_alpha=learn_alpha, activation=activation)
        layer._add_strength()
        layer._add_interpolation()
        return layer

    @property
    def alpha(self) -> Tensor:
        """The inhibition strength in effect, ≥ 0: shape (), or (out_channels,) where each kernel learns its own."""
        if self.raw_alpha is not None:
            return F.softplus(self.raw_alpha)
        return torch.tensor(self._initial_alpha, device=self.weight.device, dtype=self.weight.dtype)

    @property
    def pull_weight(self) -> Tensor:
        """The pull kernel −up(k), of shape (out_channels, in_channels / groups, ŝ, ŝ)."""
        if self.pull_kernel_size == self.kernel_size:
            return -self.weight
        device = self.weight.device.type
        if device == "meta":  # has no autocast
            return self._invert_and_upsample()
        # Automatic mixed precision would round the small sums of the interpolation; the convolution rounds the result.
        with torch.autocast(device, enabled=False):
            return self._invert_and_upsample()

    @property
    def pull_padding(self) -> tuple[int, int]:
        """The pull kernel's padding in pixels, above and below, left and right."""
        sides = []
        for axis in (0, 1):
            size, dilation = self.kernel_size[axis], self.dilation[axis]
            if isinstance(self.padding, str):
                padding = dilation * (size - 1) // 2 if self.padding == "same" else 0
            else:
                padding = self.padding[axis]
            sides.append(padding + dilation * (self.pull_kernel_size[axis] - size) // 2)
        return sides[0], sides[1]

    def forward(self, images: Tensor) -> Tensor:
        """Return the inhibited response maps."""
        push = self._conv_forward(images, self.weight, self.bias)
        if self.pull_kernel_size != self.kernel_size:
            pull = self._respond_to_pull(images)
        elif self.raw_alpha is None and self._activate is torch.relu:
            return F.leaky_relu(push, self._initial_alpha)  # relu(v) − α·relu(−v) in one pass
        else:
            pull = -push
        if self.raw_alpha is None:
            return torch.sub(self._activate(push), self._activate(pull), alpha=self._initial_alpha)
        strength = self.alpha.reshape(-1, 1, 1).to(pull.dtype)
        return self._activate(push) - strength * self._activate(pull)

    def push(self, images: Tensor) -> Tensor:
        """Return the push kernel's response alone: the activated plain convolution."""
        return self._activate(self._conv_forward(images, self.weight, self.bias))

    def extra_repr(self) -> str:
        """Return the settings of the convolution and of the inhibition."""
        learned = f", learn_alpha={self.learn_alpha!r}" if self.learn_alpha else ""
        activation = self.activation if isinstance(self.activation, str) else "custom"
        return f"{super().extra_repr()}, h={self.h:g}, alpha={self._initial_alpha:g}{learned}, activation={activation}"

    def _invert_and_upsample(self) -> Tensor:
        upsampled = self.weight.flatten(2) @ self._steps
        return (upsampled * (-1 / self._step_divisor)).unflatten(2, self.pull_kernel_size)

    def _respond_to_pull(self, images: Tensor) -> Tensor:
        vertical, horizontal = self.pull_padding
        bias = None if self.bias is None else -self.bias
        if self.padding_mode != "zeros":
            self._check_reach(images, vertical, horizontal)
            images = F.pad(images, (horizontal, horizontal, vertical, vertical), mode=self.padding_mode)
            vertical = horizontal = 0
        return self._convolve(images, self.pull_weight, bias, (vertical, horizontal))

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode == "zeros":
            return self._convolve(input, weight, bias, self.padding)
        images = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return self._convolve(images, weight, bias, (0, 0))

    def _convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None, padding: str | tuple[int, ...]) -> Tensor:
        return convolve(images, weight, bias, self.stride, padding, self.dilation, self.groups)

    def _check_reach(self, images: Tensor, vertical: int, horizontal: int) -> None:
        """Raise ``InputError`` where maps are too small for their own padding: "replicate" alone has no limit."""
        spare = {"reflect": 1, "circular": 0, "replicate": -math.inf}[self.padding_mode]
        height, width = images.shape[-2], images.shape[-1]
        if height < vertical + spare or width < horizontal + spare:
            raise InputError(
                f"padding mode {self.padding_mode!r} extends maps of at least {vertical + spare}×{horizontal + spare} "
                f"pixels as far as the pull kernel reaches, got {height}×{width}; "
                "use larger maps, a smaller `h` or another padding mode"
            )

    def _add_strength(self) -> None:
        self.raw_alpha: nn.Parameter | None
        if self.learn_alpha is None:
            self.register_parameter("raw_alpha", None)
            return
        shape = (self.out_channels,) if self.learn_alpha == "kernel" else ()
        raw = _inverse_softplus(self._initial_alpha)
        self.raw_alpha = nn.Parameter(torch.full(shape, raw, device=self.weight.device, dtype=self.weight.dtype))

    def _add_interpolation(self) -> None:
        steps, self._step_divisor = upsampling_steps((self.kernel_size[0], self.kernel_size[1]), self.pull_kernel_size)
        self._steps: Tensor
        self.register_buffer("_steps", steps.to(self.weight), persistent=False)


def _check_alpha(alpha: object, learn_alpha: object) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not math.isfinite(alpha) or alpha < 0:
        raise InputError(f"`alpha` must be a finite number ≥ 0, got {alpha!r}")
    if learn_alpha not in (None, "layer", "kernel"):
        raise InputError(f"`learn_alpha` must be None, 'layer' or 'kernel', got {learn_alpha!r}")
    if learn_alpha is not None and alpha == 0:
        raise InputError("a learned `alpha` must start above 0 (at 0 its gradient vanishes), got 0")
    return float(alpha)


def _find_activation(activation: str | Activation) -> Activation:
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation]


def _inverse_softplus(value: float) -> float:
    """Return x with log(1 + exp(x)) = value, for value > 0."""
    return value + math.log(-math.expm1(-value))
