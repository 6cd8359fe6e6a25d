"""Augmentation of a whole batch as a pure function of the batch and a generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_flip(images: Tensor, *, generator: torch.Generator, flip: Tensor | None = None) -> Tensor:
    """Reflect-pad by an eighth of the side, crop at random, flip (push–pull paper, section 4.2.2).

    Args:
        images: (n, c, h, w), h = w, any dtype.
        generator: on the CPU, whatever the images' device: the same draws everywhere.
        flip: which images are mirrored, bool (n,) on the CPU; None draws a half of them.

    Returns:
        Tensor of the same shape and dtype.
    """
    n, _, side, _ = images.shape
    pad = max(1, side // 8)
    padded = F.pad(images.float(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
    offsets = torch.randint(0, 2 * pad + 1, (2, n), generator=generator)
    if flip is None:
        flip = torch.rand(n, generator=generator) < 0.5
    span = torch.arange(side)
    rows = offsets[0][:, None] + span
    columns = offsets[1][:, None] + torch.where(flip[:, None], span.flip(0), span)
    device = images.device
    index = torch.arange(n)[:, None, None].to(device)
    cropped = padded.permute(0, 2, 3, 1)[index, rows[:, :, None].to(device), columns[:, None, :].to(device)]
    return cropped.permute(0, 3, 1, 2).contiguous()


def alternate_flips(n_images: int, epoch: int, *, generator: torch.Generator) -> Tensor:
    """Return which images are flipped in an epoch: a random half in the first, the others in the next, and by turns.

    Two epochs in a row show every image both ways round, where independent flips show half of them one way twice
    (Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498).

    Args:
        n_images: of the whole training set.
        epoch: counted from 0.
        generator: the same one, freshly seeded, in every epoch.

    Returns:
        bool (n_images,), on the CPU.
    """
    first = torch.rand(n_images, generator=generator) < 0.5
    return first ^ bool(epoch % 2)
