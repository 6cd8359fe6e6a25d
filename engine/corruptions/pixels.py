"""Images as bytes and as floats, and the checks of what a caller gives."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import lru_cache

import torch

from engine.errors import InputError

ImageIndices = Sequence[int] | torch.Tensor

_checked: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}
"""By id, the indices on a GPU that were found to be right, and their version then."""


def divide(values: torch.Tensor, number: float) -> torch.Tensor:
    """Return a correctly rounded quotient; by a plain number, CUDA would multiply by the rounded reciprocal."""
    return values / torch.full((), number, dtype=values.dtype, device=values.device)


@lru_cache(maxsize=64)
def constants(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return numbers as a tensor on a device, float64 (n,), which stays there: it is not to be written to."""
    return torch.tensor(values, dtype=torch.float64, device=device)


def to_unit(images: torch.Tensor, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return bytes as floats in [0, 1]."""
    values = images.to(dtype)
    return values.div_(torch.full((), 255, dtype=dtype, device=images.device))


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Return floats, clipped to [0, 1], as bytes, truncated as the benchmark does (never rounded)."""
    return images.clamp(0, 1).mul_(255).to(torch.uint8)


def check_images(images: object) -> torch.Tensor:
    """Return the images.

    Raises:
        InputError: they are no uint8 tensor (n, c, h, w) with at least one image and one pixel.
    """
    if not isinstance(images, torch.Tensor):
        raise InputError(f"images must be a uint8 tensor (n, c, h, w), got {type(images).__name__}")
    if images.dtype != torch.uint8:
        raise InputError(
            f"images must be uint8 in 0…255, got {str(images.dtype).removeprefix('torch.')}; "
            "for floats in [0, 1] use (images * 255).round().to(torch.uint8)"
        )
    if images.ndim != 4:
        raise InputError(f"images must have the shape (n, c, h, w), got {tuple(images.shape)}")
    if images.numel() == 0:
        raise InputError(f"images must hold at least one image and one pixel, got the shape {tuple(images.shape)}")
    return images


def check_indices(indices: ImageIndices | None, images: torch.Tensor) -> torch.Tensor:
    """Return the images' indices in their data set as int64 (n,) on the images' device; None means 0, 1, ….

    Raises:
        InputError: not one whole number ≥ 0 for each image.
    """
    n_images = images.shape[0]
    if indices is None:
        return torch.arange(n_images, device=images.device)
    found = torch.as_tensor(indices)
    if found.shape != (n_images,):
        raise InputError(f"`indices` must have one entry for each of the {n_images} images, got {tuple(found.shape)}")
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise InputError(f"`indices` must be whole numbers, got {str(found.dtype).removeprefix('torch.')}")
    if not _is_known(found):
        lowest = int(found.min())
        if lowest < 0:
            raise InputError(f"`indices` must be ≥ 0, got {lowest}")
        _remember(found)
    return found.to(device=images.device, dtype=torch.int64)


def _is_known(indices: torch.Tensor) -> bool:
    """Return whether these very indices lie on a GPU and were looked at before: to look again, the host would wait."""
    known, version = _checked.get(id(indices), (None, -1))
    return known is not None and known() is indices and version == indices._version


def _remember(indices: torch.Tensor) -> None:
    if indices.device.type == "cpu" or indices.is_inference():
        return
    place = id(indices)
    _checked[place] = (weakref.ref(indices, lambda _: _checked.pop(place, None)), indices._version)
