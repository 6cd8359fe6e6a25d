import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.errors import InputError
from engine.layers import PushPull2d, PushPullConv2d, insert_push_pull
from tests.engine.corruptions.reference import reference_path


def layer_of(weight, bias=None, **settings):
    """Return a layer with these weights (out, in / groups, kh, kw), in their precision."""
    groups = settings.get("groups", 1)
    layer = PushPullConv2d(
        weight.shape[1] * groups,
        len(weight),
        tuple(weight.shape[2:]),
        bias=bias is not None,
        dtype=weight.dtype,
        **settings,
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def respond_as_written(layer, images):
    """Compute the response as the definition says it: by two convolutions, and a mean over the places inside."""
    weight = layer.weight
    highest, lowest = (extreme(weight, (1, 2, 3), keepdim=True) for extreme in (torch.amax, torch.amin))
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
    push = F.conv2d(images, weight, None, *geometry)
    pull = F.conv2d(images, highest + lowest - weight, None, *geometry)
    side = layer.average
    if side:
        height, width = pull.shape[2:]
        mean = torch.empty_like(pull)
        for row in range(height):
            for column in range(width):
                rows = slice(max(0, row - side // 2), row + side // 2 + 1)
                columns = slice(max(0, column - side // 2), column + side // 2 + 1)
                mean[:, :, row, column] = pull[:, :, rows, columns].mean((2, 3))
        pull = mean
    alpha = torch.as_tensor(layer.alpha).reshape(-1, 1, 1)
    bias = 0 if layer.bias is None else layer.bias[:, None, None]
    return push.relu() - alpha * pull.relu() + bias


def test_outputs_and_gradients_are_those_of_the_authors_module():
    cases = json.loads(reference_path("successors/pushpull_conv_cases.json").read_text())["cases"]
    with np.load(reference_path("successors/pushpull_conv_cases.npz")) as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored.files}
    assert len(cases) >= 19
    for case in cases:
        name, learned = case["name"], isinstance(case["alpha"], str)
        of = {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{name}/")}
        pair = {key: tuple(case[key]) if isinstance(case[key], list) else case[key] for key in ("padding", "stride")}
        average = case["avg_kernel_size"]
        layer = layer_of(
            of["weight"],
            of.get("bias"),
            **pair,
            dilation=case["dilation"],
            groups=case["groups"],
            average=tuple(average) if isinstance(average, list) else average,
            alpha=1.0 if learned else case["alpha"],
            learn_alpha=learned,
        )
        if learned:
            layer.alpha.data.copy_(of["alpha"])
        images = of["x"].requires_grad_(True)
        response = layer(images)
        (response * of["g"]).sum().backward()
        found = {"y": response, "dx": images.grad, "dweight": layer.weight.grad}
        found |= {"dbias": layer.bias.grad} if "dbias" in of else {}
        found |= {"dalpha": layer.alpha.grad} if learned else {}
        tolerance = 1e-9 if case["dtype"] == "float64" else 1e-4
        for key, value in found.items():
            scale = max(1.0, float(of[key].abs().max()))
            assert float((value - of[key]).detach().abs().max()) < tolerance * scale, (name, key)


@pytest.mark.parametrize(
    ("in_channels", "kernel", "settings"),
    [
        (3, (3, 3), {"padding": 1}),
        (4, (3, 3), {"padding": 1, "groups": 2, "stride": 2, "average": 5}),
        (2, (5, 3), {"padding": (2, 1), "dilation": (1, 2), "average": 0, "alpha": 2.5}),
        (3, (4, 4), {"stride": 4, "learn_alpha": True, "alpha": 0.5}),
        (3, (1, 1), {"average": 3}),
    ],
)
def test_it_is_what_its_definition_says(in_channels, kernel, settings):
    torch.manual_seed(0)
    groups = settings.get("groups", 1)
    weight = torch.randn(6, in_channels // groups, *kernel, dtype=torch.float64)
    layer = layer_of(weight, torch.randn(6, dtype=torch.float64), **settings)
    images = torch.randn(2, in_channels, 13, 12, dtype=torch.float64, requires_grad=True)
    wanted = list(layer.parameters())
    given = torch.randn_like(layer(images))
    found, expected = (
        [value, *torch.autograd.grad((value * given).sum(), [images, *wanted])]
        for value in (layer(images), respond_as_written(layer, images))
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_identities():
    torch.manual_seed(1)
    images, weight = torch.rand(2, 3, 9, 9, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    bias = torch.randn(4, dtype=torch.float64)
    centred = weight - (weight.amax((1, 2, 3), True) + weight.amin((1, 2, 3), True)) / 2
    plain = F.conv2d(images, centred, bias)
    torch.testing.assert_close(layer_of(centred, bias, average=0)(images), plain, rtol=0, atol=1e-12)
    alone = layer_of(weight, bias, alpha=0.0)(images)
    assert torch.equal(alone, F.conv2d(images, weight).relu() + bias[:, None, None])
    swapped = [layer_of(kernel, average=0).pull_weight for kernel in (weight, -weight)]
    assert torch.equal(swapped[0], -swapped[1])
    even = layer_of(torch.full_like(weight, 0.3))
    torch.testing.assert_close(even.pull_weight, even.weight, rtol=0, atol=1e-15)


def test_equal_extremes_share_the_gradient():
    layer = layer_of(torch.tensor([2.0, 2.0, -1.0]).reshape(1, 1, 1, 3), average=0, padding=(0, 1))
    layer.range_sum.sum().backward()
    assert layer.weight.grad.flatten().tolist() == [0.5, 0.5, 1.0]


def test_a_new_layer_has_a_bias_within_one_and_a_learned_strength_for_each_filter():
    torch.manual_seed(0)
    layer = PushPullConv2d(3, 64, 3, learn_alpha=True, alpha=0.5)
    assert dict(layer.named_parameters()).keys() == {"weight", "bias", "alpha"}
    assert layer.alpha.tolist() == [0.5] * 64
    assert 0.8 < float(layer.bias.abs().max()) <= 1
    assert float(layer.weight.abs().max()) <= 1 / math.sqrt(27)
    assert PushPullConv2d(3, 4, 3).alpha == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"average": 2}, "`average` must be 0, 3 or 5, got 2"),
        ({"average": None}, "`average` must be 0, 3 or 5, got None"),
        ({"average": True}, "`average` must be 0, 3 or 5, got True"),
        ({"alpha": -0.5}, "`alpha` must be a finite number ≥ 0, got -0.5"),
        ({"alpha": math.nan}, "`alpha` must be a finite number ≥ 0, got nan"),
        ({"learn_alpha": "layer"}, "`learn_alpha` must be True or False, got 'layer'"),
        ({"padding_mode": "mirror"}, "unknown padding mode 'mirror'"),
        ({"groups": 2}, "`in_channels` must be divisible by `groups`, got 3 and 2"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PushPullConv2d(3, 4, 3, **settings)


def test_it_takes_the_place_of_a_convolution_with_its_parameters():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Conv2d(4, 2, 3))
    before, state = list(model.parameters()), torch.get_rng_state()
    insert_push_pull(model, "first", variant="2024", average=5, alpha=2.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(model[0], PushPullConv2d)
    assert (model[0].average, model[0].alpha) == (5, 2.0)
    assert all(one is other for one, other in zip(model.parameters(), before, strict=True))
    around = F.pad(torch.rand(1, 3, 8, 8), (1, 1, 1, 1), mode="reflect")
    inside = around[..., 1:-1, 1:-1].contiguous()
    expected = respond_as_written(layer_of(model[0].weight, model[0].bias, average=5, alpha=2.0), around)
    torch.testing.assert_close(model[0](inside), expected, rtol=0, atol=1e-5)
    insert_push_pull(model, "first", variant="2020", h=1.0)
    assert isinstance(model[0], PushPull2d)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "2022"}, r"unknown push–pull variant '2022'"),
        (
            {"variant": "2024", "learn_alpha": "layer"},
            "layer '0' cannot become a push–pull layer: the push–pull layer of",
        ),
        ({"variant": "2024", "average": 4}, "layer '0' cannot become a push–pull layer: `average` must be 0, 3 or 5"),
    ],
)
def test_what_cannot_be_inserted_leaves_the_model_as_it_is(settings, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(InputError, match=message):
        insert_push_pull(model, "first", **settings)
    assert type(model[0]) is nn.Conv2d
