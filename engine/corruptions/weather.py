"""Snow, frost, fog and brightness. Each works on colour and on one-channel images (see `colour`)."""

from __future__ import annotations

import torch

from engine.corruptions.apply import register_corruption
from engine.corruptions.colour import grey, hsv_to_rgb, require_channels, rgb_to_hsv
from engine.corruptions.draws import Draws
from engine.corruptions.frost_pictures import frost_pictures
from engine.corruptions.image_filters import line_blur, zoom
from engine.corruptions.pixels import to_bytes, to_unit


@register_corruption("snow")
def snow(images: torch.Tensor, constants: tuple[float, ...], draws: Draws) -> torch.Tensor:
    """Whiten the image and add flakes, twice: as drawn and turned by 180 degrees.

    Args:
        images: uint8 (n, 1 or 3, h, w).
        constants: mean and standard deviation of the flakes' layer, its zoom, threshold, the radius and sigma of its
            motion blur in pixels, and the share of the image that is kept.
        draws: the layer, N(0, 1) (h, w), then an angle U(−135°, −45°).
    """
    require_channels(images, "snow")
    mean, deviation, factor, threshold, radius, sigma, kept = constants
    layer = mean + deviation * draws.normal("flakes", images.shape[2:])
    layer = zoom(layer.permute(1, 2, 0).contiguous(), factor).permute(2, 0, 1).unsqueeze(1)
    flakes = to_bytes(layer.where(layer >= threshold, 0))
    angles = draws.uniform("angle", (), -135, -45)
    fallen = to_unit(line_blur(flakes, angles, radius, sigma))
    values = to_unit(images, torch.float32)
    whitened = kept * values + (1 - kept) * torch.maximum(values, grey(values) * 1.5 + 0.5)
    return to_bytes(whitened + fallen + fallen.flip(2, 3))


@register_corruption("frost")
def frost(images: torch.Tensor, constants: tuple[float, float], draws: Draws) -> torch.Tensor:
    """Add a random piece of a picture of frost.

    Args:
        images: uint8 (n, 1 or 3, h, w).
        constants: the weights of the image and of the frost.
        draws: which picture, then the piece's row and column.
    """
    require_channels(images, "frost")
    own_weight, frost_weight = constants
    height, width = images.shape[2:]
    pictures = frost_pictures(height, width, images.shape[1], images.device)
    which = draws.integers("picture", 0, len(pictures.sizes), ())
    row = draws.integers_below("row", pictures.sizes[which, 0] - height)
    column = draws.integers_below("column", pictures.sizes[which, 1] - width)
    rows = row.unsqueeze(1) + torch.arange(height, device=images.device)
    columns = column.unsqueeze(1) + torch.arange(width, device=images.device)
    pieces = pictures.values[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return (own_weight * images.double() + frost_weight * pieces.double()).clamp_(0, 255).to(torch.uint8)


@register_corruption("fog")
def fog(images: torch.Tensor, constants: tuple[float, float], draws: Draws) -> torch.Tensor:
    """Add a plasma fractal, and scale back to the image's own maximum.

    Args:
        images: uint8 (n, c, h, w).
        constants: the fog's weight, and how fast its roughness falls from scale to scale.
        draws: see `plasma`.
    """
    weight, decay = constants
    height, width = images.shape[2:]
    values = to_unit(images)
    brightest = values.amax(dim=(1, 2, 3), keepdim=True)
    clouds = plasma(len(images), max(height, width), decay, draws)[:, None, :height, :width]
    return to_bytes((values + weight * clouds) * brightest / (brightest + weight))


def plasma(n_images: int, side: int, decay: float, draws: Draws) -> torch.Tensor:
    """Return diamond-square fractals in [0, 1], float64 (n, m, m), m the next power of two (at least 2) from ``side``.

    Args:
        n_images: n.
        side: the size that is needed.
        decay: what the roughness is divided by from scale to scale.
        draws: for each scale, uniform: the middles of the squares, then those of their upper and of their left edges.
    """
    size = max(2, 1 << (side - 1).bit_length())
    step, roughness = size, 100.0
    field = torch.zeros(n_images, size, size, dtype=torch.float64, device=draws.device)
    while step >= 2:
        half, cells = step // 2, size // step

        def jitter(of: str, cells: int = cells, roughness: float = roughness) -> torch.Tensor:
            return roughness * draws.uniform(f"{of} {cells}", (cells, cells), -roughness, roughness)

        corners = field[:, ::step, ::step].clone()
        pairs = corners + corners.roll(-1, 1)
        middles = (pairs + pairs.roll(-1, 2)) / 4 + jitter("middles")
        above_and_below = (middles + middles.roll(1, 1)) + (corners + corners.roll(-1, 2))
        beside = (middles + middles.roll(1, 2)) + pairs
        field[:, half::step, half::step] = middles
        field[:, ::step, half::step] = above_and_below / 4 + jitter("upper edges")
        field[:, half::step, ::step] = beside / 4 + jitter("left edges")
        step, roughness = half, roughness / decay
    field -= field.amin(dim=(1, 2), keepdim=True)
    return field / field.amax(dim=(1, 2), keepdim=True)


@register_corruption("brightness")
def brightness(images: torch.Tensor, added: float, draws: Draws) -> torch.Tensor:
    """Add to the value of hue–saturation–value."""
    values = to_unit(images)
    if require_channels(images, "brightness") == 1:
        return to_bytes(values + added)
    hue, saturation, value = rgb_to_hsv(values)
    return to_bytes(hsv_to_rgb(hue, saturation, (value + added).clamp(0, 1)))
