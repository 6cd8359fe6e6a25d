"""Networks of two convolutions, the size of the CIFAR-10 network of the selective fine-tuning paper."""

from __future__ import annotations

from torch import nn

from engine.layers.normalise import Normalise
from engine.models.common import Chain, check_image_size, scale
from engine.models.model_names import register_model

SMALLEST_IMAGE = 4  # two poolings halve the map


@register_model("cnn-2")
def build_cnn2(*, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
    """Return conv 32 – ReLU – pool – conv 32 – ReLU – pool – linear, with 3×3 kernels and 2×2 maximum pooling.

    The paper (Bianchi et al. 2019, figure 3) gives 32 filters for its first convolution and no more; the rest is chosen
    here. There is no batch normalisation: the convolutions have a bias, with torch's own initialisation, which a
    push–pull layer in their place takes over.
    """
    check_image_size("cnn-2", image_size, SMALLEST_IMAGE)
    filters = scale(32, width, 32)
    layers: dict[str, nn.Module] = {
        "normalise": Normalise(in_channels),
        "conv1": nn.Conv2d(in_channels, filters, 3, padding=1),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(filters, filters, 3, padding=1),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(filters * (image_size // 4) ** 2, num_classes),
    }
    return Chain(layers)


@register_model("cnn-2-thesis")
def build_cnn2_thesis(*, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
    """Return conv 32 – BN – ReLU – pool – conv 16 – BN – ReLU – pool – linear 128 – dropout – linear.

    A stand-in from a later thesis at the universities of the selective fine-tuning paper, with 3×3 kernels, 2×2 maximum
    pooling and a dropout of one half. The text gives no ReLU after the hidden linear layer; there is one here.
    """
    check_image_size("cnn-2-thesis", image_size, SMALLEST_IMAGE)
    filters, fewer, hidden = (scale(count, width, 32) for count in (32, 16, 128))
    layers: dict[str, nn.Module] = {
        "normalise": Normalise(in_channels),
        "conv1": nn.Conv2d(in_channels, filters, 3, padding=1),
        "bn1": nn.BatchNorm2d(filters),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(filters, fewer, 3, padding=1),
        "bn2": nn.BatchNorm2d(fewer),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(fewer * (image_size // 4) ** 2, hidden),
        "relu3": nn.ReLU(),
        "dropout": nn.Dropout(0.5),
        "fc2": nn.Linear(hidden, num_classes),
    }
    return Chain(layers)
