"""The All-CNN of Springenberg et al. (2015) with batch normalisation, as the selective fine-tuning paper uses it."""

from __future__ import annotations

from torch import nn

from engine.layers.normalise import Normalise
from engine.models.common import Chain, check_image_size, initialise_he, scale
from engine.models.model_names import register_model

SMALLEST_IMAGE = 9  # halved twice, rounding up, then a 3×3 convolution without padding

# filters, kernel side, stride, padding
LAYERS = (
    (96, 3, 1, 1),
    (96, 3, 1, 1),
    (96, 3, 2, 1),
    (192, 3, 1, 1),
    (192, 3, 1, 1),
    (192, 3, 2, 1),
    (192, 3, 1, 0),
    (192, 1, 1, 0),
)


@register_model("allconv")
def build_allconv(*, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
    """Return eight convolutions with batch normalisation and ReLU, a 1×1 convolution to the classes, and the mean.

    The sizes are those of DeepCorrect's CIFAR-100 network (Borkar and Karam 2019). Two things are chosen here: the
    convolutions before a normalisation have no bias, and the last has one, with neither normalisation nor ReLU, so that
    logits can be negative. "first_block" is the three convolutions of 96 filters that the paper fine-tunes.
    """
    check_image_size("allconv", image_size, SMALLEST_IMAGE)
    layers: dict[str, nn.Module] = {"normalise": Normalise(in_channels)}
    channels = in_channels
    for i, (count, kernel, stride, padding) in enumerate(LAYERS, start=1):
        filters = scale(count, width, LAYERS[0][0])
        layers[f"conv{i}"] = nn.Conv2d(channels, filters, kernel, stride, padding, bias=False)
        layers[f"bn{i}"] = nn.BatchNorm2d(filters)
        layers[f"relu{i}"] = nn.ReLU()
        channels = filters
    layers[f"conv{len(LAYERS) + 1}"] = nn.Conv2d(channels, num_classes, 1)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    model = Chain(layers, first_block=("conv1", "conv2", "conv3"))
    initialise_he(model)
    return model
