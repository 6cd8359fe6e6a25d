"""What mixtures of images have in common: shares of a whole, and a number for each image."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.corruptions.draws import Draws


def each(values: Tensor) -> Tensor:
    """Return a number for each image, (n,), so that it meets images (n, c, h, w)."""
    return values[:, None, None, None]


def equal_shares(draws: Draws, purpose: str, n_mixtures: int, width: int) -> Tensor:
    """Return the shares of ``width`` parts in each of some mixtures, from Dirichlet(1, …, 1).

    Returns:
        float32 (n, n_mixtures, width); each mixture's sum to 1.
    """
    cuts = draws.uniform(purpose, (n_mixtures, width - 1)).sort(2).values
    ends = torch.zeros_like(cuts[..., :1]), torch.ones_like(cuts[..., :1])
    return torch.diff(cuts, prepend=ends[0], append=ends[1]).float()
