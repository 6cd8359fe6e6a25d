"""Batch normalisations that are a part of the convolution before them."""

import pytest
import torch
from torch import nn

from engine.layers import PushPull2d
from engine.layers.folding import FoldedPushPull, fold_batch_norm
from engine.models import build_model
from engine.training.correction import add_correction


def as_trained(network: nn.Module) -> nn.Module:
    """Give normalisations statistics and weights as a training may leave them, of both signs, and none that is 1."""
    draws = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.normal_(1, 0.7, generator=draws)
            module.bias.data.normal_(0, 0.3, generator=draws)
            module.running_mean.normal_(0, 0.5, generator=draws)
            module.running_var.uniform_(0.3, 2, generator=draws)
    return network.eval()


def assert_alike(network: nn.Module, folded: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        expected, found = network(images), folded(images)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "push_pull", "n_folded", "n_left"),
    [
        ("resnet-20", None, 21, 0),
        ("resnet-20", {"where": "first"}, 21, 0),
        ("resnet-20", {"where": "all", "h": 1.5, "alpha": 0.7, "learn_alpha": "kernel"}, 21, 0),
        ("resnet-20", {"where": "first", "h": 1.0}, 20, 1),
        ("resnet-20", {"where": "first", "variant": "2024"}, 20, 1),
        ("densenet-bc-40-12", {"where": "first_block"}, 18, 21),  # most of them follow what several layers read
        ("torchvision:resnet18", None, 20, 0),
    ],
)
def test_a_folded_network_answers_alike(name, push_pull, n_folded, n_left) -> None:
    torch.manual_seed(0)
    network = as_trained(build_model(name, num_classes=10, push_pull=push_pull))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded, layers = fold_batch_norm(network)
    assert len(layers) == n_folded
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == n_left
    for convolution, norm in layers.items():
        assert isinstance(network.get_submodule(convolution), nn.Conv2d)
        assert isinstance(folded.get_submodule(norm), nn.Identity)
    assert_alike(network, folded, torch.rand(4, 3, 32, 32))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0, None])
@pytest.mark.parametrize(
    "settings",
    [
        {"padding": 1},
        {"padding": "same", "bias": True, "dilation": 2},
        {"padding": 2, "stride": 2, "groups": 2, "bias": True, "padding_mode": "reflect"},
    ],
    ids=["zeros", "same", "reflect"],
)
def test_a_push_pull_layer_takes_scales_of_any_sign(sign, settings) -> None:
    draws = torch.Generator().manual_seed(1)
    layer = PushPull2d(4, 6, 3, h=2, alpha=0.8, **settings)
    network = as_trained(nn.Sequential(layer, nn.BatchNorm2d(6)))
    if sign is not None:
        network[1].weight.data.abs_().mul_(sign)
    folded, layers = fold_batch_norm(network)
    assert layers == {"0": "1"}
    assert isinstance(folded[0], FoldedPushPull)
    assert_alike(network, folded, torch.randn(2, 4, 9, 9, generator=draws))


def test_a_normalisation_without_weights_is_folded() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).eval()
    network[1].running_mean.fill_(0.3)
    folded, layers = fold_batch_norm(network)
    assert layers == {"0": "1"}
    assert_alike(network, folded, torch.rand(2, 3, 8, 8))


class Shared(nn.Module):
    """Reads a convolution twice, calls a normalisation twice, and has a convolution under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.read_twice, self.under_it = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.first, self.second, self.of_both = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.own, self.own_norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.alias = self.own

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.read_twice(images)
        maps = maps + self.under_it(maps)
        return self.of_both(self.first(maps)) + self.of_both(self.second(maps)) + self.own_norm(self.alias(maps))


def test_what_another_layer_reads_stays_as_it_is() -> None:
    network = as_trained(Shared())
    folded, layers = fold_batch_norm(network)
    assert layers == {"own": "own_norm"}
    assert_alike(network, folded, torch.rand(2, 3, 8, 8))


def test_a_correction_unit_between_the_two_keeps_them_apart() -> None:
    network = as_trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    add_correction(network, "0", torch.tensor([1, 3]))
    assert fold_batch_norm(network)[1] == {"2": "3"}


class Choosing(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps if maps.sum() > 0 else -maps


def test_what_depends_on_values_is_not_folded() -> None:
    with pytest.raises(Exception, match="control flow"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Choosing()).eval())
