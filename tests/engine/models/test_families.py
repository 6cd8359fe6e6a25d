import pytest
import torch
from torch import nn

from engine.errors import InputError
from engine.layers import PushPull2d
from engine.models import build_model


def build_on_meta(name, **settings):
    with torch.device("meta"):
        return build_model(name, **({"num_classes": 10} | settings))


def count_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def convolutions(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet-20", 272_474),  # counted in the push–pull authors' files
        ("resnet-32", 466_906),
        ("densenet-bc-40-12", 176_122),
        ("densenet-bc-100-12", 769_162),  # Huang et al. give 0.8M, and 3.0M for growth 24 (table 2)
        ("densenet-bc-100-24", 3_020_506),
    ],
)
def test_parameters_of_published_networks(name, count):
    assert count_parameters(build_on_meta(name)) == count


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 44, 56, 110])
def test_resnet_parameters_by_the_formula(depth):
    n, w = (depth - 2) // 6, 16
    stem = 27 * w + 2 * w
    kernels = 9 * (2 * n * w**2 + (2 * n - 1) * (2 * w) ** 2 + (2 * n - 1) * (4 * w) ** 2 + 2 * w**2 + 8 * w**2)
    norms = 2 * 2 * n * (w + 2 * w + 4 * w)
    shortcuts = 2 * w**2 + 2 * 2 * w + 8 * w**2 + 2 * 4 * w
    assert count_parameters(build_on_meta(f"resnet-{depth}")) == stem + kernels + norms + shortcuts + 4 * w * 10 + 10


@pytest.mark.parametrize(
    ("letter", "filters1", "filters2", "hidden1", "hidden2"),
    [("a", 6, 16, 128, 64), ("b", 6, 8, 64, 32), ("c", 4, 16, 128, 64), ("d", 4, 8, 64, 32)],
)
def test_lenet_parameters_by_table_1(letter, filters1, filters2, hidden1, hidden2):
    counts = [
        filters1 * 25 + filters1,
        filters2 * (filters1 * 25) + filters2,
        hidden1 * (filters2 * 4 * 4) + hidden1,  # MNIST: 28 → 24 → 12 → 8 → 4
        hidden2 * hidden1 + hidden2,
        10 * hidden2 + 10,
    ]
    model = build_on_meta(f"lenet-{letter}", in_channels=1, image_size=28)
    assert [count_parameters(layer) for layer in model if list(layer.parameters())] == counts


def test_alexnet_is_the_figures():
    model = build_on_meta("alexnet-cifar")
    assert {name: (c.out_channels, c.kernel_size, c.stride) for name, c in convolutions(model).items()} == {
        "conv1": (64, (3, 3), (2, 2)),
        "conv2": (192, (3, 3), (1, 1)),
        "conv3_1": (384, (3, 3), (1, 1)),
        "conv3_2": (256, (3, 3), (1, 1)),
        "conv3_3": (256, (3, 3), (1, 1)),
    }
    linear = [(layer.in_features, layer.out_features) for layer in model if isinstance(layer, nn.Linear)]
    assert linear == [(1024, 4096), (4096, 4096), (4096, 10)]
    kernels = 9 * (3 * 64 + 64 * 192 + 192 * 384 + 384 * 256 + 256 * 256) + 64 + 192 + 384 + 256 + 256
    assert count_parameters(model) == kernels + sum(i * o + o for i, o in linear)
    assert model[:4](torch.empty(1, 3, 32, 32, device="meta")).shape[-1] == 8


def test_allconv_is_the_notes():
    model = build_on_meta("allconv", num_classes=100)
    sizes = [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions(model).values()]
    threes = [(96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1)]
    assert sizes == [*threes, (192, 1, 1), (100, 1, 1)]
    before_pool = model[:-2](torch.empty(1, 3, 32, 32, device="meta"))
    assert before_pool.shape == (1, 100, 6, 6)
    push_pull = build_on_meta("allconv", push_pull={"where": "first_block"})
    chosen = [name for name, module in push_pull.named_modules() if isinstance(module, PushPull2d)]
    assert chosen == ["conv1", "conv2", "conv3"]


def test_cnn2_parameters():
    assert count_parameters(build_on_meta("cnn-2", in_channels=1, image_size=16)) == (
        32 * 9 + 32 + 32 * 32 * 9 + 32 + 10 * 32 * 16 + 10
    )
    model = build_on_meta("cnn-2-thesis")
    assert model.fc1.in_features == 1024
    assert count_parameters(model) == (32 * 27 + 32 + 64 + 16 * 32 * 9 + 16 + 32 + 1024 * 128 + 128 + 128 * 10 + 10)


def test_push_pull_keeps_the_bias_of_its_convolution():
    torch.manual_seed(0)
    plain = build_model("cnn-2", num_classes=10, in_channels=1, image_size=16)
    torch.manual_seed(0)
    push_pull = build_model("cnn-2", num_classes=10, in_channels=1, image_size=16, push_pull={"h": 2})
    assert plain.conv1.bias.abs().min() > 0
    assert torch.equal(plain.conv1.bias, push_pull.conv1.bias)


def test_resnet_first_block_is_the_stem_and_the_first_residual_block():
    model = build_on_meta("resnet-20", push_pull={"where": "first_block"})
    chosen = [name for name, module in model.named_modules() if isinstance(module, PushPull2d)]
    assert chosen == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]


def test_densenet_first_block_is_the_stem_and_the_3x3_convolutions_of_the_first_dense_block():
    model = build_on_meta("densenet-bc-40-12", push_pull={"where": "first_block"})
    chosen = [name for name, module in model.named_modules() if isinstance(module, PushPull2d)]
    layers = [f"features.denseblock1.denselayer{i}.conv2" for i in range(1, 7)]
    assert chosen == ["features.conv0", *layers]


@pytest.mark.parametrize(("name", "maps"), [("resnet-8", 64), ("resnet-20", 64)])
def test_resnet_halves_the_map_twice(name, maps):
    model = build_on_meta(name)
    images = torch.empty(1, 16, 32, 32, device="meta")
    assert model.layer3(model.layer2(model.layer1(images))).shape == (1, maps, 8, 8)


def test_residual_networks_start_from_he_normal_weights():
    torch.manual_seed(0)
    model = build_model("resnet-20", num_classes=10, width=64)
    for convolution in (model.conv1, model.layer3[1].conv2, model.layer2[0].downsample[0]):
        fan_out = convolution.out_channels * convolution.kernel_size[0] ** 2
        assert convolution.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("resnet-9", r"must be 6n \+ 2 .* got 9; the nearest is 8"),
        ("resnet-2", "the nearest is 8"),
        ("resnet-21", "the nearest is 20"),
        ("densenet-bc-41-12", r"must be 6n \+ 4 .* got 41; the nearest is 40"),
        ("densenet-bc-4-12", "the nearest is 10"),
    ],
)
def test_depths_that_do_not_exist_name_the_nearest(name, match):
    with pytest.raises(InputError, match=match):
        build_on_meta(name)
