"""Colour as brightness, hue and saturation. A one-channel image counts as a colour image with three equal channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.corruptions.pixels import constants, divide
from engine.errors import InputError

# ITU-R BT.601
_GREY_WEIGHTS = (0.299, 0.587, 0.114)


def require_channels(images: torch.Tensor, name: str, allowed: Sequence[int] = (1, 3)) -> int:
    """Return the images' number of channels.

    Raises:
        InputError: the corruption has no meaning for it.
    """
    n_channels = images.shape[1]
    if n_channels not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise InputError(f"corruption {name!r} needs images of {wanted} channels, got {n_channels}")
    return n_channels


def grey(images: torch.Tensor) -> torch.Tensor:
    """Return the brightness of float images (n, 3, h, w), or (n, 1, h, w) as they are: (n, 1, h, w)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    # Green last: this order gives the benchmark's bytes.
    return red * _GREY_WEIGHTS[0] + blue * _GREY_WEIGHTS[2] + green * _GREY_WEIGHTS[1]


def tint(colour: Sequence[float], images: torch.Tensor) -> torch.Tensor:
    """Return an RGB colour as (1, c, 1, 1) of the images' type; its brightness for one-channel images."""
    values = constants(tuple(colour), images.device).reshape(1, 3, 1, 1)
    return (values if images.shape[1] == 3 else grey(values)).to(images.dtype)


def rgb_to_hsv(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return hue, saturation and value, each (n, h, w) in [0, 1], of float images (n, 3, h, w); grey has hue 0."""
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    span = value - images.amin(dim=1)
    is_grey = span == 0
    saturation = (span / value).masked_fill_(is_grey, 0)
    hue = torch.where(red == value, (green - blue) / span, 0)
    hue = torch.where(green == value, 2 + (blue - red) / span, hue)
    hue = torch.where(blue == value, 4 + (red - green) / span, hue)
    return divide(hue, 6).remainder_(1).masked_fill_(is_grey, 0), saturation, value


def hsv_to_rgb(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return float images (n, 3, h, w) of hue, saturation and value, each (n, h, w)."""
    sextant = (hue * 6).floor()
    share = hue * 6 - sextant
    low = value * (1 - saturation)
    falling = value * (1 - share * saturation)
    rising = value * (1 - (1 - share) * saturation)
    candidates = torch.stack([value, falling, low, low, rising, value])
    choice = sextant.long().remainder_(6)
    red = candidates.gather(0, choice[None])
    # In each sextant the three channels take the same course, two sextants (a third of the circle) apart.
    green = torch.stack([rising, value, value, falling, low, low]).gather(0, choice[None])
    blue = torch.stack([low, low, rising, value, value, falling]).gather(0, choice[None])
    return torch.cat([red, green, blue]).transpose(0, 1).contiguous()
