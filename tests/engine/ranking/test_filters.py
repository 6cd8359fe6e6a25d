import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.errors import InputError
from engine.layers import PushPull2d, insert_push_pull
from engine.models import build_model
from engine.ranking import FilterUnit, filter_layers, filter_units
from engine.ranking.filters import wanted_layers


class Residual(nn.Module):
    """A block with one activation module for both convolutions, an in-place addition and a 1×1 shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(4)
        self.shortcut = nn.Conv2d(3, 4, 1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        y += self.shortcut(x)
        return self.act(y)


class Calling(nn.Module):
    """One convolution and a function that is called on its output."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


def unit_of(model: nn.Module, layer: str) -> FilterUnit:
    return filter_units(model, torch.rand(1, 3, 8, 8))[layer]


def test_filter_layers_are_the_convolutions_with_a_kernel_above_one_in_order():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 3),
        PushPull2d(4, 4, 3),
        nn.Conv2d(4, 2, (1, 5)),
        nn.Flatten(),
        nn.Linear(2, 2),
    )
    assert list(filter_layers(model)) == ["1", "2", "3"]
    assert filter_layers(model)["2"] is model[2]


def test_filter_layers_works_on_the_meta_device():
    with torch.device("meta"):
        model = build_model("resnet-8", num_classes=10)
    assert list(filter_layers(model)) == list(filter_layers(build_model("resnet-8", num_classes=10)))
    assert len(filter_layers(model)) == 7


def test_filter_units_works_on_the_meta_device():
    with torch.device("meta"):
        model, example = Residual(), torch.empty(1, 3, 8, 8)
    assert filter_units(model, example)["first"] == FilterUnit("first", "first_norm", "act", "relu")


def test_filter_units_follow_tensors_through_a_residual_block():
    units = filter_units(Residual(), torch.rand(1, 3, 8, 8))
    assert units == {
        "first": FilterUnit("first", "first_norm", "act", "relu"),
        "second": FilterUnit("second", "second_norm", None, None),
    }


def test_filter_units_of_push_pull_layers_start_at_their_own_output():
    model = insert_push_pull(Residual(), "all", h=2.0)
    units = filter_units(model, torch.rand(1, 3, 8, 8))
    assert units["first"] == FilterUnit("first", "first_norm", "act", "relu")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (F.relu, "relu"),
        (torch.relu_, "relu"),
        (lambda x: x.relu(), "relu"),
        (lambda x: F.relu(x, inplace=True), "relu"),
        (F.leaky_relu, "leaky_relu"),
        (F.gelu, "gelu"),
        (lambda x: x.clamp_min(0), "clamp_min"),
        (lambda x: F.relu(input=x), "relu"),
    ],
)
def test_filter_units_see_functions_that_a_forward_calls(function, name):
    assert unit_of(Calling(function), "conv") == FilterUnit("conv", None, None, name)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.PReLU(), nn.SiLU(), nn.Tanh(), nn.Hardswish(), nn.Softplus()])
def test_filter_units_name_the_activation_module(activation):
    unit = unit_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), activation), "0")
    assert (unit.normalisation, unit.activation) == ("1", "2")


@pytest.mark.parametrize("between", [lambda y: y + 1, lambda y: F.max_pool2d(y, 2), lambda y: torch.cat([y, y], 1)])
def test_filter_units_have_no_activation_where_something_comes_between(between):
    assert unit_of(Calling(lambda y: F.relu(between(y))), "conv") == FilterUnit("conv")


def test_filter_units_see_through_dropout_and_identity():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.Identity(), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    assert unit_of(model, "0") == FilterUnit("0", "3", "5", "relu")


def test_filter_units_take_no_normalisation_behind_the_activation():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    assert unit_of(model, "0") == FilterUnit("0", None, "1", "relu")


def test_filter_units_leave_modes_statistics_and_hooks_alone():
    model = Residual()
    model.second_norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    filter_units(model, torch.rand(2, 3, 8, 8))
    assert model.training
    assert not model.second_norm.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_filter_units_leave_out_layers_that_do_not_run():
    model = Residual()
    model.spare = nn.Conv2d(3, 4, 3)
    assert "spare" in filter_layers(model)
    assert "spare" not in filter_units(model, torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(("name", "n_layers"), [("cnn-2", 2), ("resnet-8", 7), ("allconv", 7), ("lenet-a", 2)])
def test_filter_units_of_the_project_s_models_have_activations(name, n_layers):
    units = filter_units(build_model(name, num_classes=10), torch.rand(1, 3, 32, 32))
    assert len(units) == n_layers
    assert next(iter(units.values())).function == "relu"


def test_wanted_layers_refuse_an_unknown_name_and_suggest_the_nearest():
    with pytest.raises(InputError, match=r"unknown rankable layer 'frist' \(did you mean 'first'\?\)"):
        wanted_layers(Residual(), ["frist"])
    with pytest.raises(InputError, match="unknown rankable layer 'shortcut'"):
        wanted_layers(Residual(), "shortcut")


def test_wanted_layers_refuse_a_model_without_any():
    with pytest.raises(InputError, match="no layer to rank"):
        wanted_layers(nn.Linear(2, 2), None)
