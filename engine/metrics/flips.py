"""How steady a network's answers are on perturbation sequences: flip probability, top-5 and Zipf distance.

Hendrycks and Dietterich, ICLR 2019, section 4.3. Ranks are from 1, the largest logit first; of equal ones the lower
class. An answer with NaN in it is none: what is compared with it has flipped, and no class has a place there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import InputError

_TOP = 5


@dataclass(frozen=True)
class Steadiness:
    """What a network does along sequences, each a mean over the compared frames of a sequence, then over sequences.

    Attributes:
        flip_probability: share of the frames whose answer is another one than that of the frame compared with.
        top5_distance: by how many places the first five classes have moved, places behind the fifth counted as one.
        zipf_distance: differences of the classes' inverse ranks, weighted by these.
    """

    flip_probability: float
    top5_distance: float
    zipf_distance: float


def steadiness(logits: Tensor, *, from_first: bool = False, difficulty: int = 1) -> Steadiness:
    """Return how steady answers are; a device is waited for once.

    Args:
        logits: (sequences, frames, classes).
        from_first: whether frames are compared with the first one, as those of a noise are, not with the one before.
        difficulty: of others, how many frames back the one is that a frame is compared with.

    Raises:
        InputError: another shape, or fewer frames than can be compared.
    """
    sums, n_compared = steadiness_sums(logits, from_first=from_first, difficulty=difficulty)
    return Steadiness(*(sums / n_compared).tolist())


def steadiness_sums(logits: Tensor, *, from_first: bool, difficulty: int) -> tuple[Tensor, int]:
    """Return the sums over all comparisons of what ``Steadiness`` has the means of, float64 (3,), and their number.

    All sequences have as many comparisons, so that the mean of means is the mean over all.
    """
    back = 1 if from_first else difficulty
    if logits.ndim != 3 or logits.shape[1] <= back or not len(logits):
        raise InputError(
            f"logits must be (sequences, frames, classes) with more than {back} frames, got {tuple(logits.shape)}"
        )
    ranks, is_none = ranks_of(logits).double(), logits.isnan().any(-1, keepdim=True)
    first_former = slice(0, 1) if from_first else slice(0, -back)
    former = ranks[:, first_former].expand_as(ranks[:, back:])
    later = ranks[:, back:].masked_fill(is_none[:, back:] | is_none[:, first_former], math.inf)
    is_top = former <= _TOP
    places = (former.clamp(max=_TOP + 1) - later.clamp(max=_TOP + 1)).abs()
    inverse, changed = former.reciprocal(), later.reciprocal()
    sums = (
        ((former == 1) & (later != 1)).sum().double(),
        places.where(is_top, 0).sum(),
        ((inverse - changed).abs() * inverse).sum(),
    )
    return torch.stack(sums), later.shape[0] * later.shape[1]


def ranks_of(logits: Tensor) -> Tensor:
    """Return each class's rank, int64 of the logits' shape, from 1; the classes are the last axis."""
    return torch.sort(logits, dim=-1, descending=True, stable=True).indices.argsort(-1) + 1
