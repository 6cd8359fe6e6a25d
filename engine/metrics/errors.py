"""Errors of a network on images: fractions in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Split


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, *, batch_size: int | None = None) -> Tensor:
    """Return the logits (n, classes) of uint8 images (n, c, h, w); the model is left in evaluation mode.

    Args:
        model: float images in [0, 1] in, logits out.
        images: uint8 (n, c, h, w), on the model's device.
        batch_size: images at a time; None for what suits the device (a CPU's caches hold little).
    """
    model.eval()
    batch_size = batch_size or (256 if images.device.type == "cpu" else 2048)
    return torch.cat([model(as_input(batch)) for batch in images.split(batch_size)])


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
    wrong = (logits.argmax(1) != split.labels).float().mean()
    return float(wrong), float(F.cross_entropy(logits.float(), split.labels))


def classification_error(model: nn.Module, split: Split) -> float:
    """Return the share of images that are classified wrongly."""
    return error_and_loss(model, split)[0]
