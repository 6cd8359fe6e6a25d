"""How much a network's answers to several views of the same images differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST = 1e-7
"""Of a probability, before its logarithm is taken."""


def jensen_shannon(logits: Sequence[Tensor]) -> Tensor:
    """Return the Jensen–Shannon divergence of the answers to views, in nats, the mean over images (AugMix, section 3).

    Args:
        logits: of each view, (n, classes).
    """
    answers = [one.softmax(1) for one in logits]
    mixture = F.threshold(torch.stack(answers).mean(0), _LEAST, _LEAST).log()
    divergences = [F.kl_div(mixture, answer, reduction="batchmean") for answer in answers]
    return torch.stack(divergences).mean()
