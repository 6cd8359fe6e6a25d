"""Spatter: drops of water, or mud."""

from __future__ import annotations

import numpy as np
import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.colour import require_channels, tint
from engine.corruptions.draws import Draws
from engine.corruptions.edges import box_sum, canny, chamfer_distance, equalize_histogram
from engine.corruptions.image_filters import correlate, gaussian_filter
from engine.corruptions.pixels import to_bytes, to_unit

WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)
_FARTHEST = 20
# Light from the upper left corner.
_EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


@register_corruption("spatter")
def spatter(images: torch.Tensor, constants: tuple, draws: Draws) -> torch.Tensor:
    """Throw drops of water or mud at the image.

    Args:
        images: uint8 (n, 1 or 3, h, w).
        constants: mean and standard deviation of the drops' layer, the sigma that it is blurred by in pixels, its
            threshold, the strength of water or the sigma in pixels that mud is blurred by, and "water" or "mud".
        draws: the layer, N(0, 1) (h, w).
    """
    require_channels(images, "spatter")
    mean, deviation, sigma, threshold, last, kind = constants
    layer = gaussian_filter(mean + deviation * draws.normal("drops", images.shape[2:]), sigma)
    values = to_unit(images, torch.float32)
    if kind == "mud":
        covered = gaussian_filter((layer > threshold).double(), last, rounded_to=torch.float32).unsqueeze(1).float()
        covered = covered.where(covered >= 0.8, 0)
        return to_bytes(values * (1 - covered) + covered * tint(_MUD, values))
    return to_bytes(values + water(layer.where(layer >= threshold, 0), last).unsqueeze(1) * tint(WATER, values))


def water(layer: torch.Tensor, strength: float) -> torch.Tensor:
    """Return how brightly drops shine: float32 (n, h, w) in [0, ``strength``], 0 where no drop is in the image.

    Drops are brighter away from their edges, embossed, and as bright as the layer.

    Args:
        layer: float64 (n, h, w), 0 outside the drops; values above 1 wrap around when they become bytes.
        strength: of the brightest point of each image.
    """
    thickness = (layer * 255).int() & 255
    distance = chamfer_distance(canny(thickness, 50, 150)).clamp(max=_FARTHEST << 16)
    depth = (box_sum(distance).double() / (1 << 16) * (1 / 9)).float().long()
    shaded = correlate(equalize_histogram(depth), _EMBOSS, border="mirror").clamp(0, 255)
    smooth = (box_sum(shaded) + 4).div(9, rounding_mode="floor")
    shine = (thickness * smooth).float()
    return shine / shine.amax(dim=(1, 2), keepdim=True).clamp(min=1) * strength
