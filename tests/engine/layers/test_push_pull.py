import copy
import io
import itertools
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.errors import InputError
from engine.layers import ACTIVATIONS, PushPull2d

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def make_pair(*args, **kwargs):
    """Return a convolution and a push–pull layer with the same weights, in float64."""
    torch.manual_seed(0)
    own = {key: kwargs.pop(key) for key in ("h", "alpha", "learn_alpha", "activation") if key in kwargs}
    convolution = nn.Conv2d(*args, **kwargs, dtype=torch.float64)
    return convolution, PushPull2d.from_convolution(convolution, **own)


def respond_by_loops(layer, image):
    """Compute a push–pull layer's response to one (channels, height, width) image by loops, in numpy."""
    s = layer.kernel_size[0]
    size, stride, dilation, padding = layer.pull_kernel_size[0], layer.stride[0], layer.dilation[0], layer.padding[0]
    margin = dilation * (size - 1)  # more zeros than any window needs
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)))
    push_kernels = layer.weight.detach().numpy()
    samples = np.linspace(0, s - 1, size)
    height = (image.shape[1] + 2 * padding - dilation * (s - 1) - 1) // stride + 1
    out = np.zeros((layer.out_channels, height, height))
    per_group = layer.in_channels // layer.groups
    for f, i, j in itertools.product(range(layer.out_channels), range(height), range(height)):
        first = f // (layer.out_channels // layer.groups) * per_group
        bias = 0.0 if layer.bias is None else layer.bias[f].item()
        # The centre of the push kernel in the image; the pull kernel has the same centre.
        row = margin + i * stride - padding + dilation * (s // 2)
        column = margin + j * stride - padding + dilation * (s // 2)
        push, pull = bias, -bias
        for c in range(per_group):
            kernel = push_kernels[f, c]
            wide = np.stack([np.interp(samples, np.arange(s), line) for line in kernel])
            wide = np.stack([np.interp(samples, np.arange(s), line) for line in wide.T]).T
            for side, values in ((s, kernel), (size, wide)):
                reach = dilation * (side // 2)
                window = padded[
                    first + c,
                    row - reach : row + reach + 1 : dilation,
                    column - reach : column + reach + 1 : dilation,
                ]
                response = float((window * values).sum())
                if values is kernel:
                    push += response
                else:
                    pull -= response
        out[f, i, j] = max(push, 0.0) - layer.alpha.item() * max(pull, 0.0)
    return out


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "dilation", "groups", "bias", "h", "alpha"),
    [
        (3, 1, 1, 1, 1, False, 2.0, 1.0),
        (3, 2, 1, 1, 2, True, 1.5, 0.5),
        (3, 1, 0, 2, 1, True, 2.0, 1.5),
        (5, 2, 2, 1, 1, True, 1.5, 0.7),
        (3, 3, 2, 1, 2, False, 3.0, 2.0),
    ],
)
def test_forward_agrees_with_loops(kernel_size, stride, padding, dilation, groups, bias, h, alpha):
    torch.manual_seed(1)
    layer = PushPull2d(
        2, 4, kernel_size, stride, padding, dilation, groups, bias, h=h, alpha=alpha, dtype=torch.float64
    )
    image = torch.randn(2, 9, 9, dtype=torch.float64)
    np.testing.assert_allclose(
        layer(image[None])[0].detach().numpy(), respond_by_loops(layer, image.numpy()), atol=1e-12
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("padding", [0, 1, 3, (2, 1), "same", "valid"])
@pytest.mark.parametrize("bias", [False, True])
def test_h_1_and_alpha_1_is_exactly_the_plain_convolution(padding_mode, padding, bias):
    for kernel_size, dilation, groups in itertools.product((1, 2, 3, (3, 5)), (1, 2), (1, 2)):
        convolution, layer = make_pair(
            4, 6, kernel_size, 1, padding, dilation, groups, bias, padding_mode, h=1, alpha=1
        )
        images = torch.randn(2, 4, 12, 12, dtype=torch.float64)
        assert torch.equal(layer(images), convolution(images))


def test_h_1_and_alpha_1_has_the_plain_convolutions_gradients():
    convolution, layer = make_pair(3, 4, 3, padding=1, h=1, alpha=1)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    plain = torch.autograd.grad(convolution(images).square().sum(), [images, convolution.weight, convolution.bias])
    push_pull = torch.autograd.grad(layer(images).square().sum(), [images, layer.weight, layer.bias])
    for expected, actual in zip(plain, push_pull, strict=True):
        assert torch.equal(actual, expected)


def test_h_1_and_alpha_1_passes_the_gradient_where_the_response_is_zero():
    layer = PushPull2d(1, 1, 3, padding=1, h=1, alpha=1)
    images = torch.zeros(1, 1, 4, 4, requires_grad=True)
    layer(images).sum().backward()
    expected = torch.autograd.grad(F.conv2d(images, layer.weight, padding=1).sum(), images)[0]
    assert torch.equal(images.grad, expected)
    assert images.grad.abs().min() > 0


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("learn_alpha", [None, "layer"])
def test_h_1_is_the_formula_for_every_activation(activation, learn_alpha):
    convolution, layer = make_pair(3, 4, 3, h=1, alpha=0.6, activation=activation, learn_alpha=learn_alpha)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    response, act = convolution(images), ACTIVATIONS[activation]
    torch.testing.assert_close(layer(images), act(response) - 0.6 * act(-response))


def test_h_1_before_a_relu_does_not_depend_on_alpha():
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for alpha in (0, 0.5, 1, 7):
        convolution, layer = make_pair(3, 4, 3, padding=1, h=1, alpha=alpha)
        assert torch.equal(torch.relu(layer(images)), torch.relu(convolution(images)))


def test_alpha_0_is_the_activated_convolution():
    convolution, layer = make_pair(3, 4, 3, padding=1, h=2, alpha=0)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(layer(images), torch.relu(convolution(images)))


def test_h_acts_through_the_pull_size_alone():
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    outputs = {h: make_pair(3, 4, 3, padding=1, h=h)[1](images) for h in (1, 1.3, 1.34, 1.9, 2.0)}
    assert torch.equal(outputs[1], outputs[1.3])
    assert torch.equal(outputs[1.34], outputs[1.9])
    assert not torch.equal(outputs[1.9], outputs[2.0])


@pytest.mark.parametrize(
    ("padding_mode", "h"), [*(("zeros", h) for h in (1.0, 1.5, 2.0, 3.0)), *((mode, 2.0) for mode in PADDING_MODES[1:])]
)
def test_output_has_the_size_of_the_plain_convolutions(padding_mode, h):
    for kernel_size, stride, padding, dilation, side in itertools.product(
        (3, 5, (3, 5)), (1, 2, 3, (1, 2)), (0, 1, 2, (0, 1)), (1, 2), (15, 16)
    ):
        convolution, layer = make_pair(1, 2, kernel_size, stride, padding, dilation, padding_mode=padding_mode, h=h)
        images = torch.zeros(1, 1, side, side + 3, dtype=torch.float64)
        assert layer(images).shape == convolution(images).shape


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_same_and_valid_padding_equal_the_numbers_they_mean(padding_mode):
    images = torch.randn(2, 3, 14, 14, dtype=torch.float64)
    for dilation in (1, 2):
        settings = {"dilation": dilation, "padding_mode": padding_mode, "h": 2}
        same, valid = (make_pair(3, 4, 3, padding=p, **settings)[1](images) for p in ("same", "valid"))
        assert same.shape[-2:] == images.shape[-2:]
        torch.testing.assert_close(same, make_pair(3, 4, 3, padding=dilation, **settings)[1](images))
        torch.testing.assert_close(valid, make_pair(3, 4, 3, padding=0, **settings)[1](images))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_padding_mode_extends_the_image_for_both_kernels(padding_mode):
    _, layer = make_pair(2, 3, 3, padding=1, padding_mode=padding_mode, h=2, alpha=0.8)
    images = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    mode = "constant" if padding_mode == "zeros" else padding_mode
    push = F.conv2d(F.pad(images, (1,) * 4, mode=mode), layer.weight, layer.bias)
    pull = F.conv2d(F.pad(images, (3,) * 4, mode=mode), layer.pull_weight, -layer.bias)
    torch.testing.assert_close(layer(images), push.relu() - 0.8 * pull.relu())


def test_one_image_without_a_batch():
    for mode in PADDING_MODES:
        _, layer = make_pair(2, 3, 3, padding=1, padding_mode=mode, learn_alpha="kernel")
        image = torch.randn(2, 9, 9, dtype=torch.float64)
        torch.testing.assert_close(layer(image), layer(image[None])[0])


@pytest.mark.parametrize("learn_alpha", [None, "layer", "kernel"])
@pytest.mark.parametrize("h", [1.0, 1.5, 2.0])
def test_gradients_agree_with_finite_differences(h, learn_alpha):
    _, layer = make_pair(2, 4, 3, 2, 1, 1, 2, h=h, alpha=0.8, learn_alpha=learn_alpha)
    images = torch.randn(1, 2, 7, 7, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def respond(images, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), images)

    parameters = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    assert torch.autograd.gradcheck(respond, (images, *parameters))


def test_weight_gradient_is_the_sum_of_both_kernels():
    _, layer = make_pair(1, 1, 3, h=2, alpha=1, activation="identity", bias=False)
    images = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    layer(images).sum().backward()
    push_only = torch.autograd.grad(F.conv2d(images, layer.weight).sum(), layer.weight)[0]
    pull_only = torch.autograd.grad(F.conv2d(images, layer.pull_weight, padding=2).sum(), layer.weight)[0]
    torch.testing.assert_close(layer.weight.grad, push_only - pull_only)
    assert pull_only.abs().min() > 0


@pytest.mark.parametrize(("learn_alpha", "shape"), [(None, ()), ("layer", ()), ("kernel", (5,))])
@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 3.0, 100.0])
def test_alpha_starts_where_it_is_told(learn_alpha, shape, alpha):
    layer = PushPull2d(2, 5, 3, alpha=alpha, learn_alpha=learn_alpha)
    assert layer.alpha.shape == shape
    torch.testing.assert_close(layer.alpha, torch.full(shape, alpha), rtol=1e-5, atol=0)
    assert ("raw_alpha" in dict(layer.named_parameters())) == (learn_alpha is not None)


@pytest.mark.parametrize("learn_alpha", ["layer", "kernel"])
def test_learned_alpha_stays_positive_and_alive(learn_alpha):
    layer = PushPull2d(2, 3, 3, padding=1, learn_alpha=learn_alpha, dtype=torch.float64)
    optimiser = torch.optim.SGD([layer.raw_alpha], lr=0.5)
    for _ in range(20):  # push it down as hard as it goes
        optimiser.zero_grad()
        layer.alpha.sum().backward()
        optimiser.step()
    assert (layer.alpha > 0).all()
    assert (layer.alpha < 0.3).all()
    layer.zero_grad()
    layer(torch.randn(2, 2, 8, 8, dtype=torch.float64)).sum().backward()
    assert (layer.raw_alpha.grad != 0).all()


def test_kernel_alpha_is_each_kernels_own():
    layer = PushPull2d(2, 3, 3, padding=1, learn_alpha="kernel", dtype=torch.float64)
    fixed = [PushPull2d(2, 3, 3, padding=1, alpha=alpha, dtype=torch.float64) for alpha in (0.2, 1.0, 2.5)]
    with torch.no_grad():
        layer.raw_alpha.copy_(torch.tensor([0.2, 1.0, 2.5]).double().expm1().log())
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    for i, other in enumerate(fixed):
        other.load_state_dict({"weight": layer.weight})
        torch.testing.assert_close(layer(images)[:, i], other(images)[:, i])


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_activation_is_used_on_both_maps(activation):
    _, layer = make_pair(2, 3, 3, padding=1, alpha=0.5, activation=activation)
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    push = F.conv2d(images, layer.weight, layer.bias, padding=1)
    pull = F.conv2d(images, layer.pull_weight, -layer.bias, padding=3)
    act = ACTIVATIONS[activation]
    torch.testing.assert_close(layer(images), act(push) - 0.5 * act(pull))
    assert pickle.loads(pickle.dumps(layer)).activation == activation


def test_activation_may_be_a_function():
    _, layer = make_pair(2, 3, 3, activation=torch.tanh)
    _, named = make_pair(2, 3, 3, activation="tanh")
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    assert torch.equal(layer(images), named(images))


def test_initialisation_is_the_plain_convolutions():
    torch.manual_seed(3)
    convolution = nn.Conv2d(3, 8, 5)
    torch.manual_seed(3)
    layer = PushPull2d(3, 8, 5, bias=True, learn_alpha="kernel")
    assert torch.equal(layer.weight, convolution.weight)
    assert torch.equal(layer.bias, convolution.bias)


def test_state_dict_is_the_plain_convolutions_and_round_trips():
    convolution, layer = make_pair(3, 4, 3)
    assert list(layer.state_dict()) == list(convolution.state_dict())
    learned = PushPull2d(3, 4, 3, learn_alpha="kernel")
    other = PushPull2d(3, 4, 3, learn_alpha="kernel", alpha=0.3)
    buffer = io.BytesIO()
    torch.save(learned.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.alpha, learned.alpha)
    images = torch.randn(1, 3, 6, 6)
    assert torch.equal(other(images), learned(images))


def test_deep_copy_is_independent():
    layer = PushPull2d(3, 4, 3, learn_alpha="layer")
    twin = copy.deepcopy(layer)
    images = torch.randn(1, 3, 6, 6)
    before = layer(images)
    with torch.no_grad():
        twin.weight.zero_()
    assert torch.equal(layer(images), before)


@pytest.mark.parametrize("learn_alpha", [None, "kernel"])
def test_compiled_and_exported_layers_agree(learn_alpha):
    layer = PushPull2d(3, 8, 3, padding=1, bias=True, learn_alpha=learn_alpha)
    images = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager", fullgraph=True)(images), layer(images))
    exported = torch.export.export(layer, (images,))
    torch.testing.assert_close(exported.module()(images), layer(images))


def test_autocast_gives_half_maps_near_the_float_ones():
    for learn_alpha in (None, "kernel"):
        layer = PushPull2d(3, 8, 3, padding=1, bias=True, learn_alpha=learn_alpha)
        images = torch.randn(2, 3, 9, 9)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer.pull_weight.dtype == torch.float32
            maps = layer(images)
        assert maps.dtype == torch.bfloat16
        maps.float().sum().backward()
        torch.testing.assert_close(maps.float(), layer(images), rtol=0.02, atol=0.1)


def test_channels_last_and_half_agree():
    layer = PushPull2d(3, 8, 3, padding=1, bias=True)
    images = torch.randn(2, 3, 9, 9)
    assert layer.bfloat16()(images.bfloat16()).dtype == torch.bfloat16
    layer = PushPull2d(3, 8, 3, padding=1, bias=True)
    expected = layer(images)
    maps = layer.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(maps, expected)
    assert maps.is_contiguous(memory_format=torch.channels_last)


def test_meta_device_gives_shapes():
    layer = PushPull2d(3, 8, 3, 2, 1, device="meta", learn_alpha="kernel")
    assert layer(torch.empty(2, 3, 9, 9, device="meta")).shape == (2, 8, 5, 5)


def test_settings_are_shown():
    assert "h=1.5, alpha=0.5, learn_alpha='kernel', activation=tanh" in repr(
        PushPull2d(1, 1, 3, h=1.5, alpha=0.5, learn_alpha="kernel", activation="tanh")
    )


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"h": 0.5}, "`h` must be a finite number ≥ 1, got 0.5"),
        ({"h": float("nan")}, "`h` must be a finite number ≥ 1, got nan"),
        ({"alpha": -0.1}, "`alpha` must be a finite number ≥ 0, got -0.1"),
        ({"alpha": float("inf")}, "`alpha` must be a finite number ≥ 0, got inf"),
        ({"alpha": "1"}, "`alpha` must be a finite number ≥ 0, got '1'"),
        ({"learn_alpha": "filter"}, "must be None, 'layer' or 'kernel', got 'filter'"),
        ({"learn_alpha": "layer", "alpha": 0}, "must start above 0"),
        ({"activation": "rleu"}, r"unknown activation 'rleu' \(did you mean 'relu'\?\)"),
        ({"padding_mode": "zero"}, r"unknown padding mode 'zero' \(did you mean 'zeros'\?\)"),
    ],
)
def test_bad_settings_are_refused(settings, match):
    with pytest.raises(InputError, match=match):
        PushPull2d(1, 1, 3, **settings)


@pytest.mark.parametrize(
    ("kernel_size", "match"), [(1, "1×1 kernel"), (2, "odd sides, got side 2"), ((3, 4), "odd sides, got side 4")]
)
def test_kernels_that_cannot_be_upsampled_are_refused_only_above_h_1(kernel_size, match):
    with pytest.raises(InputError, match=match):
        PushPull2d(1, 1, kernel_size, h=1.5)
    PushPull2d(1, 1, kernel_size, h=1)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"in_channels": 0}, "`in_channels` must be a whole number ≥ 1, got 0"),
        ({"out_channels": 2.0}, r"`out_channels` must be a whole number ≥ 1, got 2\.0"),
        ({"groups": 0}, "`groups` must be a whole number ≥ 1, got 0"),
        ({"groups": 3}, "`in_channels` must be divisible by `groups`, got 4 and 3"),
        ({"groups": 4, "out_channels": 6}, "`out_channels` must be divisible by `groups`, got 6 and 4"),
        ({"kernel_size": 0}, "`kernel_size` must be a whole number ≥ 1 or two, got 0"),
        ({"kernel_size": (3, 3, 3)}, r"`kernel_size` must be .* got \(3, 3, 3\)"),
        ({"stride": 0}, "`stride` must be a whole number ≥ 1 or two, got 0"),
        ({"dilation": (1, 0)}, r"`dilation` must be .* got \(1, 0\)"),
        ({"padding": -1}, "`padding` must be a whole number ≥ 0 or two, got -1"),
        ({"padding": "sam"}, "`padding` must be 'same', 'valid', .* got 'sam'"),
        ({"padding": "same", "stride": 2}, "`padding` = 'same' needs `stride` = 1, got 2"),
    ],
)
def test_geometry_that_is_no_convolution_is_refused(settings, match):
    with pytest.raises(InputError, match=match):
        PushPull2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **settings})


@pytest.mark.parametrize(("padding_mode", "smallest"), [("reflect", 4), ("circular", 3), ("replicate", 1)])
def test_maps_too_small_for_their_own_padding_are_refused_and_larger_ones_are_not(padding_mode, smallest):
    convolution, layer = make_pair(1, 2, 3, padding=1, padding_mode=padding_mode, h=2)  # the pull kernel reaches by 3
    images = torch.randn(1, 1, smallest, smallest + 1, dtype=torch.float64)
    assert layer(images).shape == convolution(images).shape
    if padding_mode != "replicate":
        with pytest.raises(InputError, match=rf"of at least {smallest}×{smallest} pixels .* got {smallest - 1}×9"):
            layer(torch.zeros(1, 1, smallest - 1, 9, dtype=torch.float64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu_and_repeats_itself():
    torch.manual_seed(0)
    layer = PushPull2d(3, 8, 3, padding=1, bias=True, learn_alpha="kernel", dtype=torch.float64)
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    layer(images).square().sum().backward()
    expected = [layer(images).detach(), layer.weight.grad, layer.raw_alpha.grad]
    layer, images = copy.deepcopy(layer).cuda(), images.cuda()
    for _ in range(2):
        layer.zero_grad()
        layer(images).square().sum().backward()
        for wanted, got in zip(expected, [layer(images), layer.weight.grad, layer.raw_alpha.grad], strict=True):
            torch.testing.assert_close(got.cpu(), wanted)
