"""Augmentation of a whole batch as a pure function of the batch and a generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_flip(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Reflect-pad by an eighth of the side, crop at random, flip half of the images (push–pull paper, section 4.2.2).

    Args:
        images: (n, c, h, w), h = w, any dtype.
        generator: on the CPU, whatever the images' device: the same draws everywhere.

    Returns:
        Tensor of the same shape and dtype.
    """
    n, _, side, _ = images.shape
    pad = max(1, side // 8)
    padded = F.pad(images.float(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
    offsets = torch.randint(0, 2 * pad + 1, (2, n), generator=generator)
    flip = torch.rand(n, generator=generator) < 0.5
    span = torch.arange(side)
    rows = offsets[0][:, None] + span
    columns = offsets[1][:, None] + torch.where(flip[:, None], span.flip(0), span)
    device = images.device
    index = torch.arange(n)[:, None, None].to(device)
    cropped = padded.permute(0, 2, 3, 1)[index, rows[:, :, None].to(device), columns[:, None, :].to(device)]
    return cropped.permute(0, 3, 1, 2).contiguous()
