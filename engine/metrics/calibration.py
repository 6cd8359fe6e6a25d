"""How far a network's confidence can be trusted: expected calibration error, NLL and Brier score, beside its error."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from engine.data import Split
from engine.metrics.classification import predict, share_wrong

N_BINS = 15
_ELEMENTS_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class Calibration:
    """How probabilities and answers agree; None for what is no finite number, of a network whose answers are none.

    Attributes:
        ece: expected calibration error over ``N_BINS`` equal bins of the confidence, a fraction (Guo et al., "On
            calibration of modern neural networks", ICML 2017). A bin has its upper edge and not its lower one.
        nll: mean negative log likelihood of the labels, in nats.
        brier: mean over images of the squared differences, summed over classes, of probabilities and label: in [0, 2].
    """

    ece: float | None
    nll: float | None
    brier: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return {measure: value}."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What a network does with a set of images.

    Attributes:
        error: share of the images that are classified wrongly.
        calibration: how far its confidence there can be trusted.
    """

    error: float
    calibration: Calibration


def measure(model: nn.Module, split: Split) -> Measured:
    """Return a network's error and calibration on labelled images."""
    return measured(predict(model, split.images), split.labels)


def measured(logits: Tensor, labels: Tensor) -> Measured:
    """Return error and calibration of logits (n, classes); a device is waited for once.

    Args:
        logits: any floating dtype. Probabilities are computed in 64 bits.
        labels: classes, (n,), on the same device.
    """
    found = torch.stack([share_wrong(logits, labels).double(), *calibration_sums(logits, labels)])
    error, *others = found.tolist()
    return Measured(error, Calibration(*(value if math.isfinite(value) else None for value in others)))


def calibration_sums(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ECE, NLL and Brier score, float64 (3,), on the device.

    Few rows at a time, as all probabilities in 64 bits may be more than a device can hold. Bins are summed as masks:
    a GPU adds those up in the same order every time.
    """
    n_images, n_classes = logits.shape
    edges = torch.arange(1, N_BINS, dtype=torch.float64, device=logits.device) / N_BINS
    bins = torch.arange(N_BINS, device=logits.device)
    gaps = torch.zeros(N_BINS, dtype=torch.float64, device=logits.device)
    sums = torch.zeros(2, dtype=torch.float64, device=logits.device)
    rows = max(1, _ELEMENTS_AT_A_TIME // n_classes)
    for some, answers in zip(logits.split(rows), labels.split(rows), strict=True):
        likelihoods = some.double().log_softmax(1)
        shares = some.double().softmax(1)
        right = (some.argmax(1) == answers).double()
        confidence = shares.amax(1)
        is_in = torch.bucketize(confidence, edges).unsqueeze(1) == bins
        gaps += torch.where(is_in, (confidence - right).unsqueeze(1), 0).sum(0)
        own = answers.unsqueeze(1)
        of_label = shares.gather(1, own).squeeze(1)
        of_others = (shares.square().sum(1) - of_label.square()).clamp_min(0)
        sums += torch.stack([-likelihoods.gather(1, own).sum(), (of_others + (1 - of_label).square()).sum()])
    return torch.cat([gaps.abs().sum().unsqueeze(0), sums]) / n_images
