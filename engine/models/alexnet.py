"""The AlexNet for CIFAR whose errors normalise CE, mCE and rCE (push–pull paper, appendix 2, figure 8)."""

from __future__ import annotations

from torch import nn

from engine.layers.normalise import Normalise
from engine.models.common import Chain, check_image_size, scale
from engine.models.model_names import register_model

SMALLEST_IMAGE = 15  # a stride of 2, rounding up, then three poolings, rounding down, leave one pixel


@register_model("alexnet-cifar")
def build_alexnet(*, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
    """Return five 3×3 convolutions (64, 192, 384, 256, 256), three 2×2 poolings, and linear 4096, 4096, classes.

    The figure shows neither dropout nor normalisation, and so there is none; torch's own initialisation, with biases.
    """
    check_image_size("alexnet-cifar", image_size, SMALLEST_IMAGE)
    filters1, filters2, filters3, filters4, hidden = (scale(count, width, 64) for count in (64, 192, 384, 256, 4096))
    side = (image_size + 1) // 2 // 8
    layers: dict[str, nn.Module] = {
        "normalise": Normalise(in_channels),
        "conv1": nn.Conv2d(in_channels, filters1, 3, stride=2, padding=1),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(filters1, filters2, 3, padding=1),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "conv3_1": nn.Conv2d(filters2, filters3, 3, padding=1),
        "relu3_1": nn.ReLU(),
        "conv3_2": nn.Conv2d(filters3, filters4, 3, padding=1),
        "relu3_2": nn.ReLU(),
        "conv3_3": nn.Conv2d(filters4, filters4, 3, padding=1),
        "relu3_3": nn.ReLU(),
        "pool3": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(filters4 * side**2, hidden),
        "relu4": nn.ReLU(),
        "fc2": nn.Linear(hidden, hidden),
        "relu5": nn.ReLU(),
        "fc3": nn.Linear(hidden, num_classes),
    }
    return Chain(layers)
