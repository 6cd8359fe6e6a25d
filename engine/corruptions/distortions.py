"""`distort`: the distortions of the papers at a level of one's own choice, rounded to the nearest byte.

The filter-ranking paper (arXiv 1904.03949) uses additive white Gaussian noise and Gaussian blur at three levels whose
values it does not give; the default levels of "awgn" and "blur" are stand-ins from DeepCorrect (Borkar & Karam): low,
moderate, high. The push–pull paper (Strisciuglio et al., 2020) uses the other three on MNIST.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from engine.corruptions.apply import chunks
from engine.corruptions.draws import Draws
from engine.corruptions.image_filters import blur_axis, gaussian_weights
from engine.corruptions.pixels import ImageIndices, check_images, check_indices
from engine.errors import InputError, unknown_name
from engine.registry import Registry

# images uint8 (n, c, h, w), level, draws → uint8 of the same shape on the same device
DistortionFunction = Callable[..., torch.Tensor]

DISTORTION_REGISTRY: Registry[DistortionFunction] = Registry("distortion")
_default_levels: dict[str, tuple[float, ...]] = {}
_NO_BLUR = 1e-3
"""Below that σ the neighbours weigh nothing in floats, and its square may be 0."""


def register_distortion(
    name: str, *, levels: Sequence[float] = ()
) -> Callable[[DistortionFunction], DistortionFunction]:
    """Return a decorator that adds a distortion.

    The function gets uint8 images (n, c, h, w), a finite level and a `Draws`, and returns uint8 images of the same
    shape on the same device; it raises InputError for a level that it has no meaning for.

    Args:
        name: what `distort` will call it.
        levels: its default levels, mild to severe.

    Raises:
        InputError: the name is taken.
    """

    def add(function: DistortionFunction) -> DistortionFunction:
        DISTORTION_REGISTRY.register(name)(function)
        _default_levels[name] = tuple(float(level) for level in levels)
        return function

    return add


def default_levels(name: str) -> tuple[float, ...]:
    """Return a distortion's default levels, mild to severe.

    Raises:
        InputError: unknown name.
    """
    if name not in DISTORTION_REGISTRY:
        raise unknown_name("distortion", name, DISTORTION_REGISTRY)
    return _default_levels[name]


def distort(
    images: torch.Tensor, name: str, level: float, *, seed: int, indices: ImageIndices | None = None
) -> torch.Tensor:
    """Return distorted images. Image i depends on (seed, name, level, its index in the data set) only.

    Args:
        images: uint8 (n, c, h, w).
        name: one of `DISTORTIONS` or a registered one.
        level: "awgn": standard deviation of 255; "blur": sigma in pixels; "gaussian_variance": variance, image in 0…1;
            "poisson": photons at full scale (fewer are worse); "contrast": factor about mid-grey.
        seed: what the random draws come from.
        indices: the images' indices in their data set, (n,); None means 0, 1, ….

    Returns:
        uint8 (n, c, h, w) on the images' device.

    Raises:
        InputError: unknown name, a level out of its range, or images or indices of the wrong type or shape.
    """
    if name not in DISTORTION_REGISTRY:
        raise unknown_name("distortion", name, DISTORTION_REGISTRY)
    level = _check_number(name, level)
    images = check_images(images)
    indices = check_indices(indices, images)
    function = DISTORTION_REGISTRY[name]
    purpose = ("distortion", name, repr(level))
    return torch.cat([function(part, level, Draws(seed, purpose, index)) for part, index in chunks(images, indices)])


def _check_number(name: str, level: object) -> float:
    if isinstance(level, bool | str):
        raise InputError(f"the level of distortion {name!r} must be a number, got {level!r}")
    try:
        number = float(level)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"the level of distortion {name!r} must be a number, got {level!r}") from None
    if not math.isfinite(number):
        raise InputError(f"the level of distortion {name!r} must be finite, got {number}")
    return number + 0.0  # −0.0 becomes 0.0: the same level, the same draws


def _check_range(name: str, level: float, lowest: float, highest: float, unit: str) -> None:
    if not lowest <= level <= highest:
        raise InputError(f"the level of distortion {name!r} ({unit}) must lie in [{lowest}, {highest}], got {level}")


def _round_to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Return floats in units of bytes, clipped to [0, 255] and rounded."""
    return images.clamp_(0, 255).round_().to(torch.uint8)


@register_distortion("awgn", levels=(5, 15, 25))
def awgn(images: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """Add white Gaussian noise of standard deviation ``sigma`` out of 255."""
    _check_range("awgn", sigma, 0, 255, "standard deviation of 255")
    return _round_to_bytes(images.double() + sigma * draws.normal("noise", images.shape[1:]))


@register_distortion("blur", levels=(1, 2, 3))
def blur(images: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """Blur by a Gaussian of ``sigma`` pixels in DeepCorrect's window of 4·sigma + 1, edge pixels repeated."""
    _check_range("blur", sigma, 0, 64, "sigma in pixels")
    radius = math.ceil(2 * sigma)
    if sigma < _NO_BLUR:
        return images.clone()
    weights = gaussian_weights(sigma, radius)
    return _round_to_bytes(blur_axis(blur_axis(images.double(), weights, -2), weights, -1))


@register_distortion("gaussian_variance", levels=(0.01, 0.1, 0.2, 0.3, 0.5))
def gaussian_variance(images: torch.Tensor, variance: float, draws: Draws) -> torch.Tensor:
    """Add Gaussian noise of a variance, the image in 0…1."""
    _check_range("gaussian_variance", variance, 0, 1, "variance, image in 0…1")
    return _round_to_bytes(images.double() + 255 * math.sqrt(variance) * draws.normal("noise", images.shape[1:]))


@register_distortion("poisson", levels=(100, 50, 20, 10, 5))
def poisson(images: torch.Tensor, photons: float, draws: Draws) -> torch.Tensor:
    """Count photons: each value becomes Poisson(value·photons)/photons (value in 0…1)."""
    _check_range("poisson", photons, 0.1, 10_000, "photons at full scale")
    return _round_to_bytes(draws.poisson("photons", images, photons) * (255 / photons))


@register_distortion("contrast", levels=(0.8, 0.5, 0.3, 0.2, 0.1))
def contrast(images: torch.Tensor, factor: float, draws: Draws) -> torch.Tensor:
    """Scale the differences from mid-grey: (value − 0.5)·``factor`` + 0.5, the image in 0…1."""
    _check_range("contrast", factor, 0, 10, "factor about mid-grey")
    return _round_to_bytes((images.double() - 127.5) * factor + 127.5)


DISTORTIONS: tuple[str, ...] = DISTORTION_REGISTRY.names()
