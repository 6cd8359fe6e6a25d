"""The layers and blocks of networks: the project's own, and those of libraries."""

import pytest
import torch
from torch import nn

from engine.errors import InputError
from engine.models import build_model
from engine.ranking.network_parts import block_parts, layer_parts, normalised_by, parts_named

BLOCKS = {
    "resnet-8": ["layer1", "layer2", "layer3", "fc"],
    "densenet-bc-40-12": [*(f"features.denseblock{i}" for i in (1, 2, 3)), "classifier"],
    "cnn-2": ["conv1", "conv2", "fc"],
    "alexnet-cifar": ["conv1", "conv2", "conv3_1", "fc1"],
    "allconv": ["conv1", "conv4", "conv7"],
    "torchvision:resnet18": ["layer1", "layer2", "layer3", "layer4", "fc"],
    "torchvision:vgg11_bn": [*(f"features.{i}" for i in (0, 4, 8, 15, 22)), "classifier"],
    "torchvision:convnext_tiny": [*(f"features.{i}" for i in (1, 3, 5, 7)), "classifier"],
    "torchvision:regnet_y_400mf": [*(f"trunk_output.block{i}" for i in (1, 2, 3, 4)), "fc"],
    "torchvision:vit_b_16": [*(f"encoder.layers.encoder_layer_{i}" for i in range(12)), "heads"],
}


def network_of(name: str) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, num_classes=10, image_size=32)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_network_s_blocks_are_found_and_every_parameter_is_in_one(name):
    network = network_of(name)
    blocks = block_parts(network)
    assert list(blocks) == BLOCKS[name]
    every = [parameter for own in blocks.values() for parameter in own]
    assert sorted(every) == sorted(name for name, _ in network.named_parameters())


def test_the_blocks_of_a_residual_network_are_those_that_surgical_fine_tuning_has():
    """The stem belongs to the first; of ResNet-50 the authors' groups have so many weights (normalisation apart)."""
    blocks = block_parts(network_of("torchvision:resnet50"))
    network = network_of("torchvision:resnet50")
    stem = [name for name in blocks["layer1"] if not name.startswith("layer1.")]
    assert stem == ["conv1.weight", "bn1.weight", "bn1.bias"]
    counts = {name: sum(network.get_parameter(each).numel() for each in own) for name, own in blocks.items()}
    assert counts == {
        "layer1": 9408 + 128 + 215808,
        "layer2": 1219584,
        "layer3": 7098368,
        "layer4": 14964736,
        "fc": 20490,
    }


def test_layers_are_those_of_one_pixel_and_the_classifier_too():
    layers = layer_parts(network_of("resnet-8"))
    assert layers["layer2.0.downsample.0"] == ("layer2.0.downsample.0.weight",)
    assert layers["fc"] == ("fc.weight", "fc.bias")
    with torch.device("meta"):
        learned = build_model("resnet-8", num_classes=10, push_pull={"where": "first", "learn_alpha": "layer"})
    assert layer_parts(learned)["conv1"] == ("conv1.weight", "conv1.raw_alpha")
    norms = normalised_by(network_of("resnet-8"), torch.zeros(1, 3, 32, 32, device="meta"))
    assert norms["layer2.0.downsample.0"] == "layer2.0.downsample.1"
    assert norms["conv1"] == "bn1"


def test_parts_are_named_by_words_patterns_and_modules():
    network = network_of("torchvision:resnet18")
    assert list(parts_named("first-2", "block", network)) == ["layer1", "layer2"]
    assert list(parts_named("fc, layer[34]", "block", network)) == ["layer3", "layer4", "fc"]
    assert list(parts_named("layer*.0", "block", network)) == [f"layer{i}.0" for i in (1, 2, 3, 4)]
    assert "layer1.0.bn2.bias" in parts_named("layer1.0", "block", network)["layer1.0"]
    assert list(parts_named("layer1", "layer", network)) == [f"layer1.{i}.conv{j}" for i in (0, 1) for j in (1, 2)]
    with pytest.raises(InputError, match=r"unknown layer for `finetune.layers` 'layer1.0.conv3'"):
        parts_named("layer1.0.conv3", "layer", network)


def test_a_network_of_a_user_s_own_has_blocks_too():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, stride=2), nn.Flatten(), nn.Linear(4, 2))
    assert block_parts(network) == {
        "0": ("0.weight", "0.bias", "1.weight", "1.bias"),
        "3": ("3.weight", "3.bias"),
    }
    assert block_parts(nn.Sequential(nn.Linear(3, 2))) == {"0": ("0.weight", "0.bias")}
