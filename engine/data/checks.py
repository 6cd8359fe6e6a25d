"""Whether tensors are images and labels that something can be learned from, whichever reader they come from."""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from torch import Tensor

from engine.data.shards import ShardedImages
from engine.data.streamed import Images
from engine.errors import InputError

_FEW_LEVELS = 32
_PIXELS_AT_ONCE = 2**24
"""Values that are looked at together; what is compared takes as many bytes again."""


def check_split(part: str, images: Tensor | ShardedImages, labels: Tensor, indices: Tensor, n_classes: int) -> None:
    """Raise ``InputError`` unless these are images, and a class for each.

    Args:
        part: what they are for, in the sentence ("training").
        images: uint8 (n, 1 or 3, side, side), not all the same.
        labels: int64 (n,), from 0 to n_classes - 1, of two classes at least.
        indices: (n,).
        n_classes: how many classes there are.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3] or not len(images):
        raise InputError(
            f"the {part} images must be (n, 1 or 3, side, side) with n ≥ 1, got the shape {tuple(images.shape)}"
        )
    if images.dtype != torch.uint8 or labels.dtype != torch.int64:
        raise InputError(f"the {part} images must be uint8 and labels int64, got {images.dtype} and {labels.dtype}")
    if not images.shape[:1] == labels.shape == indices.shape:
        shapes = f"{len(images)} images, labels {tuple(labels.shape)} and indices {tuple(indices.shape)}"
        raise InputError(f"each of the {part} images needs one label and one index, got {shapes}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise InputError(
            f"the labels of the {part} images must be from 0 to {n_classes - 1} ({n_classes} classes), got {low}…{high}"
        )
    if len(images) == 1:
        return
    if low == high:
        raise InputError(f"the labels of all {len(labels):,} {part} images are one class: {low}")
    if all_alike(images):
        first = images[0].flatten()
        value = f", the value {int(first[0])} everywhere" if bool((first == first[0]).all()) else ""
        raise InputError(f"all {len(images):,} {part} images are the same{value}: there is nothing to tell apart")


def check_memory(n_images: int, channels: int, side: int) -> None:
    """Raise ``InputError`` if a decoded set is larger than this machine's memory.

    Args:
        n_images: how many images it has.
        channels: of each.
        side: of each, in pixels.
    """
    needed = n_images * channels * side**2
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if needed > there:
        raise InputError(
            f"{n_images:,} pictures of {channels}×{side}×{side} take {needed / 1e9:,.1f} GB, this machine has "
            f"{there / 1e9:.1f} GB of memory: say a smaller data.image_size"
        )


def all_alike(images: Tensor | ShardedImages | np.ndarray) -> bool:
    """Return whether all images (n, …) are the first one; most often the second one ends the search."""
    size = _images_at_once(images)
    starts = (1, *range(2, len(images), size))
    ends = (*starts[1:], len(images))
    pixels = images.numpy() if isinstance(images, Tensor) else images
    return all(
        np.array_equal(pixels[start:end], np.broadcast_to(pixels[0], pixels[start:end].shape))
        for start, end in zip(starts, ends, strict=True)
    )


def notes_on_values(*parts: Images) -> tuple[str, ...]:
    """Return what a person should know of a set's images (n, c, h, w), a sentence each: flat ones, a narrow range."""
    notes = []
    total = sum(map(len, parts))
    extents = [
        torch.stack(chunk.flatten(1).aminmax(dim=1))
        for images in parts
        for chunk in images.split(_images_at_once(images))
    ]
    lows, highs = torch.cat(extents, dim=1)
    n_flat = int((lows == highs).sum())
    if n_flat:
        notes.append(f"{n_flat:,} of {total:,} images are flat: one value everywhere")
    low, high = int(lows.min()), int(highs.max())
    if high - low < _FEW_LEVELS:
        notes.append(f"the images use the values {low} to {high} of 0 to 255 alone")
    return tuple(notes)


def _images_at_once(images: Images | ShardedImages | np.ndarray) -> int:
    return max(1, _PIXELS_AT_ONCE // math.prod(images.shape[1:]))
