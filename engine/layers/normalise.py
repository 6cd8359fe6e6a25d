"""The layer that turns pixels in [0, 1] into the numbers that a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.errors import InputError


class Normalise(nn.Module):
    """``(x − mean) / std`` per channel, with statistics that travel in the state dict and are not trained.

    Args:
        channels: number of image channels, ≥ 1.

    Shapes:
        float images (n, channels, height, width) to the same shape.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.full((channels,), 0.5))
        self.register_buffer("std", torch.full((channels,), 0.25))

    def set_statistics(self, mean: float | Sequence[float] | Tensor, std: float | Sequence[float] | Tensor) -> None:
        """Set mean and standard deviation of the pixels, in units of the [0, 1] range; a number holds for all channels.

        Raises:
            InputError: another number of values than channels, values that are not finite, or a deviation ≤ 0.
        """
        new_mean, new_std = self._check("mean", mean), self._check("std", std)
        if not bool((new_std > 0).all()):
            raise InputError(f"`std` must be > 0 for each channel, got {new_std.tolist()}")
        self.mean.copy_(new_mean)
        self.std.copy_(new_std)

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images; raises ``InputError`` for integers and for another number of channels."""
        if not images.is_floating_point():
            raise InputError(f"a model takes float images in [0, 1], got {images.dtype}; divide uint8 images by 255")
        if images.ndim < 3 or images.shape[-3] != self.channels:
            raise InputError(f"the model takes images of {self.channels} channel(s), got shape {tuple(images.shape)}")
        return (images - self.mean[:, None, None]) / self.std[:, None, None]

    def extra_repr(self) -> str:
        """Return the number of channels."""
        return str(self.channels)

    def _check(self, name: str, values: float | Sequence[float] | Tensor) -> Tensor:
        tensor = torch.as_tensor(values, dtype=self.mean.dtype).flatten()
        if tensor.numel() not in (1, self.channels) or not bool(tensor.isfinite().all()):
            raise InputError(f"`{name}` must be 1 or {self.channels} finite numbers, got {tensor.tolist()}")
        return tensor.expand(self.channels)
