"""DenseNet-BC for CIFAR (Huang et al. 2017): bottlenecks, and transitions that keep half of the maps."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.layers.normalise import Normalise
from engine.models.common import check_depth, check_image_size, initialise_he
from engine.models.model_names import register_model

BOTTLENECK = 4  # maps of the 1×1 convolution, in units of the growth rate
COMPRESSION = 0.5  # share of the maps that a transition keeps
SMALLEST_IMAGE = 4  # two transitions halve the map


class DenseLayer(nn.Module):
    """Adds ``growth`` maps to its input: BN – ReLU – 1×1 convolution – BN – ReLU – 3×3 convolution.

    Args:
        in_channels: maps of the input.
        growth: maps to add.
    """

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the input's maps followed by the new ones."""
        new = self.conv1(self.relu1(self.norm1(maps)))
        new = self.conv2(self.relu2(self.norm2(new)))
        return torch.cat((maps, new), dim=1)


class DenseNet(nn.Module):
    """A convolution, three dense blocks with transitions between them, pooling and a linear layer.

    Args:
        n_layers: dense layers in each block.
        growth: maps that each of them adds.
        num_classes, in_channels: as in ``build_model``.
    """

    first_block = ("features.conv0", "features.denseblock1")

    def __init__(self, n_layers: int, growth: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.normalise = Normalise(in_channels)
        channels = 2 * growth
        features: dict[str, nn.Module] = {"conv0": nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)}
        for block in (1, 2, 3):
            features[f"denseblock{block}"] = _dense_block(n_layers, channels, growth)
            channels += n_layers * growth
            if block < 3:
                kept = int(channels * COMPRESSION)
                features[f"transition{block}"] = _transition(channels, kept)
                channels = kept
        features["norm_final"] = nn.BatchNorm2d(channels)
        features["relu_final"] = nn.ReLU()
        self.features = nn.Sequential(OrderedDict(features))
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, num_classes)."""
        return self.classifier(self.features(self.normalise(images)).mean((2, 3)))


def _dense_block(n_layers: int, channels: int, growth: int) -> nn.Sequential:
    layers = {f"denselayer{i + 1}": DenseLayer(channels + i * growth, growth) for i in range(n_layers)}
    return nn.Sequential(OrderedDict(layers))


def _transition(channels: int, kept: int) -> nn.Sequential:
    layers: dict[str, nn.Module] = {
        "norm": nn.BatchNorm2d(channels),
        "relu": nn.ReLU(),
        "conv": nn.Conv2d(channels, kept, 1, bias=False),
        "pool": nn.AvgPool2d(2),
    }
    return nn.Sequential(OrderedDict(layers))


@register_model(
    "densenet-bc-{depth}-{growth}", examples=("densenet-bc-40-12", "densenet-bc-100-12", "densenet-bc-100-24")
)
def build_densenet(
    depth: int, growth: int, *, num_classes: int, in_channels: int, image_size: int, width: int | None
) -> nn.Module:
    """Return the DenseNet-BC with ``depth`` = 6n + 4 layers; its first convolution has 2·growth filters."""
    check_depth("densenet-bc", depth)
    n_layers, rest = divmod(depth - 4, 6)
    if rest or n_layers < 1:
        nearest = 6 * max(1, round((depth - 4) / 6)) + 4
        raise InputError(
            f"the depth of a densenet-bc must be 6n + 4 (40, 100, …), got {depth}; the nearest is {nearest}"
        )
    if width not in (None, 2 * growth):
        raise InputError(
            f"the width of densenet-bc-{depth}-{growth} is twice its growth rate, {2 * growth}, got {width}; "
            "leave `width` None and name another growth rate"
        )
    check_image_size(f"densenet-bc-{depth}-{growth}", image_size, SMALLEST_IMAGE)
    model = DenseNet(n_layers, growth, num_classes, in_channels)
    initialise_he(model)
    return model
