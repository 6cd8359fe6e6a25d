import pytest
import torch
from torch import nn

from engine.layers import PushPull2d
from engine.layers.partial import limit_weight_gradient

FILTERS = torch.tensor([1, 4])


def make_layer(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "convolution":
        return nn.Conv2d(3, 6, 3, stride=2, padding=1, dilation=2).double()
    options = {"h": 1.0} if kind == "placebo" else {"h": 2.0, "learn_alpha": "kernel"}
    return PushPull2d(3, 6, 3, padding=1, bias=True, **options).double()


def gradients(layer: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the response and the gradients of a sum of its squares."""
    layer.zero_grad(set_to_none=True)
    given = images.clone().requires_grad_()
    response = layer(given)
    response.square().sum().backward()
    return response.detach(), {"images": given.grad, **{name: p.grad for name, p in layer.named_parameters()}}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["convolution", "placebo", "inhibition"])
def test_the_filters_have_the_gradient_that_they_had_and_the_others_none(kind, memory_format):
    layer = make_layer(kind)
    images = torch.randn(4, 3, 9, 9, dtype=torch.float64).contiguous(memory_format=memory_format)
    response, expected = gradients(layer, images)
    limit_weight_gradient(layer, FILTERS)
    limited, found = gradients(layer, images)
    assert torch.equal(limited, response)
    torch.testing.assert_close(found["images"], expected["images"])
    others = [i for i in range(6) if i not in FILTERS.tolist()]
    for name in ("weight", "bias"):
        torch.testing.assert_close(found[name][FILTERS], expected[name][FILTERS])
        assert not found[name][others].any()
        assert expected[name][others].all()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ],
    ids=["groups", "same", "reflect"],
)
def test_what_it_does_not_cover_goes_on_as_before(layer):
    images = torch.randn(2, 4, 6, 6)
    _, expected = gradients(layer, images)
    limit_weight_gradient(layer, torch.tensor([0]))
    _, found = gradients(layer, images)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_all_filters_are_no_limit():
    layer = make_layer("convolution")
    limit_weight_gradient(layer, torch.arange(6))
    assert "_conv_forward" not in vars(layer)


def test_mixed_precision_gives_gradients_in_the_parameters_own_type():
    layer = make_layer("inhibition").float()
    images = torch.randn(4, 3, 9, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, expected = gradients(layer, images)
        limit_weight_gradient(layer, FILTERS)
        response, found = gradients(layer, images)
    assert response.dtype == torch.bfloat16
    assert {value.dtype for value in found.values()} == {torch.float32}
    torch.testing.assert_close(found["weight"][FILTERS], expected["weight"][FILTERS], rtol=0.05, atol=0.5)
