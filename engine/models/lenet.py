"""The four LeNets of the push–pull paper (section 4.1, table 1).

The table gives filters and units; 5×5 kernels, no padding, 2×2 maximum pooling and ReLU are chosen here. ``width``
scales the linear layers too.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from engine.layers.normalise import Normalise
from engine.models.common import Chain, check_image_size, scale
from engine.models.model_names import ModelBuilder, register_model

SMALLEST_IMAGE = 16  # two 5×5 convolutions without padding, each followed by 2×2 pooling


class LeNetSizes(NamedTuple):
    """Filters of the two convolutions and units of the two hidden linear layers."""

    filters1: int
    filters2: int
    hidden1: int
    hidden2: int


TABLE_1 = {
    "lenet-a": LeNetSizes(6, 16, 128, 64),
    "lenet-b": LeNetSizes(6, 8, 64, 32),
    "lenet-c": LeNetSizes(4, 16, 128, 64),
    "lenet-d": LeNetSizes(4, 8, 64, 32),
}


def _lenet_builder(name: str) -> ModelBuilder:
    def build(*, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
        check_image_size(name, image_size, SMALLEST_IMAGE)
        sizes = LeNetSizes(*(scale(size, width, TABLE_1[name].filters1) for size in TABLE_1[name]))
        side = ((image_size - 4) // 2 - 4) // 2
        layers: dict[str, nn.Module] = {
            "normalise": Normalise(in_channels),
            "conv1": nn.Conv2d(in_channels, sizes.filters1, 5),
            "relu1": nn.ReLU(),
            "pool1": nn.MaxPool2d(2),
            "conv2": nn.Conv2d(sizes.filters1, sizes.filters2, 5),
            "relu2": nn.ReLU(),
            "pool2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(sizes.filters2 * side**2, sizes.hidden1),
            "relu3": nn.ReLU(),
            "fc2": nn.Linear(sizes.hidden1, sizes.hidden2),
            "relu4": nn.ReLU(),
            "fc3": nn.Linear(sizes.hidden2, num_classes),
        }
        return Chain(layers)

    return build


for _name in TABLE_1:
    register_model(_name)(_lenet_builder(_name))
