"""The residual networks for CIFAR (He et al. 2016, section 4.2), as the push–pull authors train them."""

from __future__ import annotations

from torch import Tensor, nn

from engine.errors import InputError
from engine.layers.normalise import Normalise
from engine.models.common import check_depth, check_image_size, initialise_he
from engine.models.model_names import register_model

DEFAULT_WIDTH = 16
SMALLEST_IMAGE = 4  # two stages halve the map


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation, added to the input.

    Where the size changes, the input passes a 1×1 convolution and batch normalisation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1, or 2 to halve the map.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Return (n, out_channels, ⌈height / stride⌉, ⌈width / stride⌉) maps."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        maps = self.relu1(self.bn1(self.conv1(maps)))
        return self.relu2(self.bn2(self.conv2(maps)) + shortcut)


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks with 1, 2 and 4 times its filters, pooling and a linear layer.

    Args:
        n_blocks: residual blocks in each stage.
        width: filters of the first convolution.
        num_classes, in_channels: as in ``build_model``.
    """

    first_block = ("conv1", "layer1.0")

    def __init__(self, n_blocks: int, width: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.normalise = Normalise(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(n_blocks, width, width, stride=1)
        self.layer2 = _stage(n_blocks, width, 2 * width, stride=2)
        self.layer3 = _stage(n_blocks, 2 * width, 4 * width, stride=2)
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, num_classes)."""
        maps = self.relu(self.bn1(self.conv1(self.normalise(images))))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        return self.fc(maps.mean((2, 3)))


def _stage(n_blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    blocks = [ResidualBlock(in_channels, out_channels, stride)]
    blocks += [ResidualBlock(out_channels, out_channels, 1) for _ in range(n_blocks - 1)]
    return nn.Sequential(*blocks)


@register_model(
    "resnet-{depth}",
    examples=("resnet-8", "resnet-14", "resnet-20", "resnet-32", "resnet-44", "resnet-56", "resnet-110"),
)
def build_resnet(depth: int, *, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
    """Return the ResNet with ``depth`` = 6n + 2 layers; ``width`` is 16 in the papers."""
    check_depth("resnet", depth)
    n_blocks, rest = divmod(depth - 2, 6)
    if rest or n_blocks < 1:
        nearest = 6 * max(1, round((depth - 2) / 6)) + 2
        raise InputError(f"the depth of a resnet must be 6n + 2 (8, 14, 20, …), got {depth}; the nearest is {nearest}")
    check_image_size(f"resnet-{depth}", image_size, SMALLEST_IMAGE)
    model = ResNet(n_blocks, DEFAULT_WIDTH if width is None else width, num_classes, in_channels)
    initialise_he(model)
    return model
