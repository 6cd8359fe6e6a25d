"""Errors of a network on images: fractions in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Split
from engine.data.streamed import Images
from engine.data.streamed import batch_size as suitable
from engine.precision import in_full, network_pass


@torch.no_grad()
def predict(model: nn.Module, images: Images, *, batch_size: int | None = None) -> Tensor:
    """Return the logits (n, classes) of uint8 images (n, c, h, w); the model is left in evaluation mode.

    Args:
        model: float images in [0, 1] in, logits out.
        images: uint8 (n, c, h, w), on the model's device.
        batch_size: images at a time; None for what suits the device (a CPU's caches hold little).
    """
    model.eval()
    batch_size = batch_size or suitable(images, 256 if images.device.type == "cpu" else 2048)
    first = _pass(model, images[:batch_size])
    # Small results that are kept between large ones that are not would make the heap grow with every batch.
    logits = first.new_empty((len(images), *first.shape[1:]))
    logits[:batch_size] = first
    for start in range(batch_size, len(images), batch_size):
        logits[start : start + batch_size] = _pass(model, images[start : start + batch_size])
    return logits


def _pass(model: nn.Module, images: Tensor) -> Tensor:
    with network_pass(images.device):
        return in_full(model(as_input(images)))


def as_input(images: Tensor) -> Tensor:
    """Return uint8 images as floats in [0, 1], channels last: convolutions run faster so, on CPU and GPU.

    Floats are what a part of a network has made of images; they stay as they are.
    """
    if images.is_floating_point():
        return images
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


def error_and_loss(model: nn.Module, split: Split) -> tuple[float, float]:
    """Return the share of images that are classified wrongly, and the mean cross entropy."""
    logits = predict(model, split.images)
    error, loss = torch.stack(
        [share_wrong(logits, split.labels), F.cross_entropy(logits.float(), split.labels)]
    ).tolist()
    return error, loss


def classification_error(model: nn.Module, split: Split) -> float:
    """Return the share of images that are classified wrongly."""
    return float(share_wrong(predict(model, split.images), split.labels))


def share_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of logits (n, classes) whose largest is not the label's, on their device; of NaN none is."""
    return (answered(logits) != labels).float().mean()


def answered(logits: Tensor) -> Tensor:
    """Return the class that logits (…, classes) answer, int64 (…); -1, which is none, where one of them is NaN.

    ``argmax`` alone would take NaN for the largest: a network that answers nothing else would be right about class 0.
    """
    return logits.argmax(-1).masked_fill(logits.amax(-1).isnan(), -1)
