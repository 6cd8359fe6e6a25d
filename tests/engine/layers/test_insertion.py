import pytest
import torch
from torch import nn

from engine.errors import InputError
from engine.layers import PushPull2d, insert_push_pull


class Small(nn.Module):
    first_block = ("stem", "block.0")

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.ModuleList([nn.Sequential(nn.Conv2d(4, 4, 5), nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 4, 3)])
        self.block10 = nn.Conv2d(4, 2, 3, bias=False)

    def forward(self, images):
        maps = self.block[0](self.stem(images))
        return self.block10(self.block[1](maps))


def names_of_push_pull(model):
    return [name for name, module in model.named_modules() if isinstance(module, PushPull2d)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("first", ["stem"]),
        ("first_block", ["stem", "block.0.0"]),
        ("all", ["stem", "block.0.0", "block.1", "block10"]),
        ("block.1", ["block.1"]),
        (["block10", "stem"], ["stem", "block10"]),
        (("block.0.0",), ["block.0.0"]),
        ("block", ["block.0.0", "block.1"]),
        ("block.0", ["block.0.0"]),
        ("block.*", ["block.0.0", "block.1"]),
        (["block1?", "block.0.0", "block"], ["block.0.0", "block.1", "block10"]),
    ],
)
def test_where_names_the_layers(where, expected):
    model = Small()
    assert insert_push_pull(model, where) is model
    assert names_of_push_pull(model) == expected
    assert model(torch.rand(1, 3, 12, 12)).shape == (1, 2, 4, 4)


def test_parameters_are_the_very_same_and_no_random_number_is_drawn():
    model = Small()
    model.stem.weight.requires_grad_(False)
    before = dict(model.named_parameters())
    state = torch.get_rng_state()
    insert_push_pull(model.eval(), "all")
    assert torch.equal(torch.get_rng_state(), state)
    assert dict(model.named_parameters()).keys() == before.keys()
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert not model.stem.weight.requires_grad
    assert not any(module.training for module in model.modules())


def test_settings_reach_the_layers():
    model = insert_push_pull(Small().double(), "all", h=1.5, alpha=0.5, learn_alpha="kernel")
    assert model.stem.h == 1.5
    assert model.block[0][0].pull_kernel_size == (7, 7)
    torch.testing.assert_close(model.block10.alpha, torch.full((2,), 0.5, dtype=torch.float64))


def test_geometry_is_kept():
    convolution = nn.Conv2d(4, 8, (3, 5), (2, 1), (1, 2), (1, 2), groups=2, padding_mode="circular")
    model = insert_push_pull(nn.Sequential(convolution), h=1, alpha=1)
    images = torch.randn(2, 4, 16, 16)
    assert torch.equal(model(images), convolution(images))


def test_placebo_in_a_trained_network_changes_nothing():
    torch.manual_seed(0)
    model, images = Small(), torch.rand(2, 3, 12, 12)
    expected = model(images)
    assert torch.equal(insert_push_pull(model, "all", h=1, alpha=1)(images), expected)


def test_optimiser_goes_on_with_the_same_parameters():
    model = Small()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    insert_push_pull(model, "first")
    before = model.stem.weight.detach().clone()
    model(torch.rand(1, 3, 12, 12)).sum().backward()
    optimiser.step()
    assert not torch.equal(model.stem.weight, before)


def test_a_layer_that_is_there_takes_the_new_settings():
    model = nn.Sequential(PushPull2d(1, 2, 3, h=2, activation="tanh"))
    weight = model[0].weight
    insert_push_pull(model, h=3, alpha=0.5)
    assert (model[0].h, model[0].alpha.item(), model[0].activation) == (3, 0.5, "tanh")
    assert model[0].weight is weight


def test_a_shared_convolution_stays_shared():
    convolution = nn.Conv2d(2, 2, 3, padding=1)
    model = nn.ModuleDict({"a": convolution, "b": nn.Sequential(convolution)})
    insert_push_pull(model, "all")
    assert isinstance(model["a"], PushPull2d)
    assert model["a"] is model["b"][0]


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match=r"unknown convolution 'blok10' \(did you mean 'block10'\?\); known:"):
        insert_push_pull(Small(), ("stem", "blok10"))
    with pytest.raises(InputError, match="did you mean 'first_block'"):
        insert_push_pull(Small(), "firstblock")
    with pytest.raises(InputError, match=r"unknown convolution 'block\.2'"):
        insert_push_pull(Small(), ["stem", "block.2"])
    with pytest.raises(InputError, match=r"unknown convolution 'stem\*\.1'"):
        insert_push_pull(Small(), "stem*.1")


@pytest.mark.parametrize(
    ("model", "where", "match"),
    [
        (nn.Sequential(nn.Linear(2, 2)), "first", "no nn.Conv2d layer"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), "first_block", "declares no first block"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "all", "no convolution larger than 1×1"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "first", "layer '0' cannot become a push–pull layer: a 1×1 kernel"),
        (nn.Conv2d(1, 1, 3), "first", "itself one convolution"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), (), "names no layer"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), 3, "got 3"),
    ],
)
def test_what_cannot_be_done_is_said(model, where, match):
    with pytest.raises(InputError, match=match):
        insert_push_pull(model, where)


def test_a_refusal_leaves_the_network_unchanged():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 4))
    with pytest.raises(InputError, match="layer '1' cannot become a push–pull layer: `h` > 1 needs"):
        insert_push_pull(model, "all")
    assert names_of_push_pull(model) == []


def test_a_computed_weight_is_refused():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3)))
    with pytest.raises(InputError, match="its weight is computed"):
        insert_push_pull(model)


def test_torchvision_resnet18():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = models.resnet18(num_classes=10).eval()
    images = torch.rand(1, 3, 32, 32)
    expected = model(images)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert names_of_push_pull(insert_push_pull(model)) == ["conv1"]
    assert model.conv1.pull_kernel_size == (15, 15)
    assert not torch.equal(model(images), expected)
    assert len(names_of_push_pull(insert_push_pull(model, "all", h=1, alpha=1))) == 17  # 20 convolutions, 3 of them 1×1
    assert torch.equal(model(images), expected)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
