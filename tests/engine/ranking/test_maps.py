import pytest
import torch
from torch import nn

from engine.errors import InputError
from engine.ranking import activation_maps
from tests.engine.ranking.test_filters import Residual


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    model = Residual()
    for norm in (model.first_norm, model.second_norm):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return model


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def gathered(batches, layer: str) -> torch.Tensor:
    return torch.cat([maps[layer] for maps in batches])


def worked_out(model: Residual, images: torch.Tensor) -> dict[tuple[str, str], torch.Tensor]:
    """Return the maps by calling the modules one by one."""
    model.eval()
    with torch.no_grad():
        first = model.first(images)
        first_norm = model.first_norm(first)
        second = model.second(first_norm.relu())
        second_norm = model.second_norm(second)
    model.train()
    return {
        ("first", "convolution"): first,
        ("first", "normalisation"): first_norm,
        ("first", "activation"): first_norm.relu(),
        ("second", "convolution"): second,
        ("second", "normalisation"): second_norm,
        ("second", "activation"): second_norm.relu(),
    }


@pytest.mark.parametrize("at", ["convolution", "normalisation", "activation"])
@pytest.mark.parametrize("layer", ["first", "second"])
def test_activation_maps_are_those_of_the_modules_called_by_hand(model, images, layer, at):
    expected = worked_out(model, images)[layer, at]
    maps = gathered(activation_maps(model, images, [layer], at=at, batch_size=2), layer)
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-6)


def test_activation_maps_come_in_batches_of_all_layers(model, images):
    batches = list(activation_maps(model, images, batch_size=2))
    assert [len(maps["first"]) for maps in batches] == [2, 2, 1]
    assert all(list(maps) == ["first", "second"] for maps in batches)


def test_activation_maps_leave_the_model_as_it_was_between_batches(model, images):
    model.first_norm.eval()
    batches = activation_maps(model, images, batch_size=2)
    next(batches)
    assert model.training
    assert not model.first_norm.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_activation_maps_leave_the_model_as_it_was_after_an_error(model):
    with pytest.raises(RuntimeError, match="channels"):
        list(activation_maps(model, torch.rand(2, 7, 8, 8)))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_activation_maps_stop_the_forward_after_the_last_wanted_layer(images):
    ran = []
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    model[2].register_forward_hook(lambda *_: ran.append(1))
    batches = activation_maps(model, images, ["0"], batch_size=1)
    ran.clear()
    assert len(list(batches)) == 5
    assert not ran


def test_activation_maps_need_no_gradient(model, images):
    assert not next(activation_maps(model, images))["first"].requires_grad


def test_activation_maps_work_inside_inference_mode(model, images):
    with torch.inference_mode():
        inside = gathered(activation_maps(model, images, "second"), "second")
    torch.testing.assert_close(inside, gathered(activation_maps(model, images, "second"), "second"))


def test_activation_maps_take_uint8_images_as_the_same_floats(model, images):
    as_bytes = (images * 255).round().to(torch.uint8)
    torch.testing.assert_close(
        gathered(activation_maps(model, as_bytes), "first"), gathered(activation_maps(model, as_bytes / 255), "first")
    )


def test_activation_maps_are_not_changed_by_later_in_place_operations(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))
    maps = gathered(activation_maps(model, images, ["0", "2"], at="convolution"), "0")
    assert maps.min() < 0


def test_activation_maps_of_an_activation_other_than_relu_are_its_own(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
    torch.testing.assert_close(gathered(activation_maps(model, images), "0"), model(images).detach())


def test_activation_maps_refuse_bad_input(model, images):
    with pytest.raises(InputError, match="unknown place for activation maps 'relu'"):
        activation_maps(model, images, at="relu")
    with pytest.raises(InputError, match=r"did you mean 'first'"):
        activation_maps(model, images, ["firsst"])
    with pytest.raises(InputError, match="empty"):
        activation_maps(model, images[:0])
    with pytest.raises(InputError, match=r"\(n, c, h, w\)"):
        activation_maps(model, images[0])
    with pytest.raises(InputError, match=r"float in \[0, 1\], got torch.int64"):
        activation_maps(model, images.long())
    with pytest.raises(InputError, match="`batch_size` must be ≥ 1, got 0"):
        activation_maps(model, images, batch_size=0)


def test_activation_maps_refuse_a_layer_that_does_not_run(model, images):
    model.spare = nn.Conv2d(3, 4, 3)
    with pytest.raises(InputError, match="does not run layer 'spare'"):
        activation_maps(model, images, ["spare"])
