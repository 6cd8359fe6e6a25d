"""How much a layer's response maps change when its images become noisy (push–pull paper, section 3.1, Fig. 2).

The paper shows maps and gives no number. The one here is the correlation of a filter's map of the noisy image with its
map of the clean one: 1 where noise changes nothing but scale and offset, about 0 where nothing of the map is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.corruptions import distort
from engine.data import Split
from engine.data.streamed import whole
from engine.errors import InputError
from engine.layers import PUSH_PULL, PushPull2d, PushPullConv2d
from engine.metrics.classification import as_input

KINDS = ("convolution", "push-pull", "push-pull, rectified")
"""What is compared: the push kernel's activated response alone; the whole layer's; and what of that is above 0, which
is all that a ReLU after the layer leaves."""


@dataclass(frozen=True)
class ResponseStability:
    """Response maps of one image at rising noise, and how stable they are over many.

    Attributes:
        levels: levels of the distortion; 0 for the clean image, which comes first.
        images: uint8 (levels, c, h, w), the shown image at each.
        maps: {kind: (levels, height, width)}, of the shown filter.
        filter: index of the shown filter.
        correlation: {kind: mean correlation with the clean maps at each level}, over all filters and images.
    """

    levels: tuple[float, ...]
    images: Tensor
    maps: dict[str, Tensor]
    filter: int
    correlation: dict[str, tuple[float, ...]]


@torch.no_grad()
def response_stability(
    model: nn.Module,
    layer: str,
    split: Split,
    levels: Sequence[float],
    *,
    distortion: str = "gaussian_variance",
    image: int = 0,
    filter: int | None = None,
    seed: int = 0,
) -> ResponseStability:
    """Return the responses of a push–pull layer to images under rising noise, with inhibition and without.

    Args:
        model: takes float images in [0, 1].
        layer: name of a push–pull layer of it.
        split: the images, on the model's device.
        levels: levels of the distortion.
        distortion: a registered distortion.
        image: position of the image whose maps are shown.
        filter: index of the filter whose maps are shown; None for the one that answers the clean image most strongly at
            any place.
        seed: of the noise.

    Raises:
        InputError: a layer that is no push–pull layer, a filter or an image that does not exist, no level, or maps that
            hold NaN or infinite values.
    """
    module = dict(model.named_modules()).get(layer)
    if not isinstance(module, PUSH_PULL):
        raise InputError(f"layer {layer!r} must be a push–pull layer, got {type(module).__name__}")
    if not levels:
        raise InputError("at least one noise level is needed, got none")
    if not 0 <= image < len(split):
        raise InputError(f"`image` must be from 0 to {len(split) - 1}, got {image}")
    if filter is not None and not 0 <= filter < module.out_channels:
        raise InputError(f"`filter` must be from 0 to {module.out_channels - 1}, got {filter}")
    pixels = whole(split.images)
    clean = _responses(model, module, pixels)
    shown = int(clean[KINDS[0]][image].amax((1, 2)).argmax()) if filter is None else filter
    images, maps = [pixels[image]], {kind: [clean[kind][image, shown]] for kind in KINDS}
    correlation = {kind: [1.0] for kind in KINDS}
    for level in levels:
        noisy_images = distort(pixels, distortion, level, seed=seed, indices=split.indices)
        noisy = _responses(model, module, noisy_images)
        images.append(noisy_images[image])
        for kind in KINDS:
            maps[kind].append(noisy[kind][image, shown])
            correlation[kind].append(mean_correlation(clean[kind], noisy[kind]))
    return ResponseStability(
        levels=(0.0, *map(float, levels)),
        images=torch.stack(images).cpu(),
        maps={kind: torch.stack(found).cpu() for kind, found in maps.items()},
        filter=shown,
        correlation={kind: tuple(values) for kind, values in correlation.items()},
    )


def mean_correlation(clean: Tensor, noisy: Tensor) -> float:
    """Return Pearson's correlation of the maps (n, f, h, w) of each image and filter, averaged over them.

    Pairs whose clean map is constant have none and are left out; a noisy map that is constant counts 0.

    Raises:
        InputError: every clean map is constant, or a value is NaN or infinite.
    """
    if not bool(clean.isfinite().all() & noisy.isfinite().all()):  # NaN would pass for a constant map
        raise InputError("response maps hold NaN or infinite values, which correlate with nothing; did it diverge?")
    a, b = (maps.flatten(2).double() for maps in (clean, noisy))
    a, b = a - a.mean(2, keepdim=True), b - b.mean(2, keepdim=True)
    lengths = a.norm(dim=2), b.norm(dim=2)
    defined = lengths[0] > 0
    if not bool(defined.any()):
        raise InputError("the layer answers none of the clean images: its maps are constant")
    products = (a * b).sum(2) / (lengths[0] * lengths[1]).clamp(min=torch.finfo(torch.float64).tiny)
    return float(products[defined].mean())


def _responses(model: nn.Module, layer: PushPull2d | PushPullConv2d, images: Tensor) -> dict[str, Tensor]:
    """Return the layer's responses (n, f, h, w) by kind, to what the model gives it."""
    given: list[Any] = []
    handle = layer.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    try:
        model.eval()(as_input(images))
    finally:
        handle.remove()
    whole = layer(given[0])
    return dict(zip(KINDS, (layer.push(given[0]), whole, whole.relu()), strict=True))
