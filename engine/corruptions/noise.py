"""The noises: Gaussian, shot, impulse, speckle. Each channel of each pixel draws for itself."""

from __future__ import annotations

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.draws import Draws
from engine.corruptions.pixels import to_bytes, to_unit


@register_corruption("gaussian_noise")
def gaussian_noise(images: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """Add normal noise of standard deviation ``sigma`` (image in 0…1)."""
    return to_bytes(draws.normal("noise", images.shape[1:]).mul_(sigma).add_(to_unit(images)))


@register_corruption("shot_noise")
def shot_noise(images: torch.Tensor, photons: float, draws: Draws) -> torch.Tensor:
    """Count photons: each value becomes Poisson(value·photons)/photons (value in 0…1)."""
    return to_bytes(draws.poisson("photons", images, photons).double() / photons)


@register_corruption("impulse_noise")
def impulse_noise(images: torch.Tensor, share: float, draws: Draws) -> torch.Tensor:
    """Replace each byte with probability ``share`` by 255 or 0, with equal chance."""
    replaced = draws.uniform("replaced", images.shape[1:]) < share
    white = draws.uniform("white", images.shape[1:]) < 0.5
    return torch.where(replaced, white.to(torch.uint8) * 255, images)


@register_corruption("speckle_noise")
def speckle_noise(images: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """Add normal noise of standard deviation ``sigma``·value (value in 0…1)."""
    values = to_unit(images)
    return to_bytes(draws.normal("noise", images.shape[1:]).mul_(sigma).mul_(values).add_(values))
