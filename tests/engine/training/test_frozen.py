import pytest
import torch
from torch import nn

from engine.data import Split
from engine.metrics import as_input
from engine.models import build_model
from engine.training import frozen
from engine.training.frozen import cut_network

IMAGES = torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
SPLIT = Split(IMAGES, torch.zeros(5, dtype=torch.int64), torch.arange(5))


def make_network(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, num_classes=4, in_channels=3, image_size=32, **options).eval()


@pytest.mark.parametrize(
    ("name", "tuned", "before"),
    [
        ("cnn-2", ["conv2.weight", "conv2.bias"], ["conv1.weight", "conv1.bias"]),
        ("lenet-a", ["conv2.weight"], ["conv1.weight", "conv1.bias"]),
        ("allconv", ["conv2.weight", "conv9.weight"], ["conv1.weight", "bn1.weight", "bn1.bias"]),
        ("resnet-8", ["layer1.0.conv2.weight"], ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1"]),
        ("resnet-8", ["layer2.0.conv2.weight"], ["conv1", "bn1", "layer1.0", "layer2.0.conv1", "layer2.0.downsample"]),
        ("densenet-bc-10-12", ["features.denseblock2.denselayer1.conv1.weight"], ["features.conv0"]),
        ("alexnet-cifar", ["conv3_2.weight"], ["conv1", "conv2", "conv3_1"]),
    ],
)
@pytest.mark.parametrize("push_pull", [None, {"where": "first", "h": 2.0, "learn_alpha": "kernel"}])
def test_the_two_halves_compute_what_the_network_computes(name, tuned, before, push_pull):
    network = make_network(name, push_pull=push_pull)
    cut = cut_network(network, tuned, as_input(IMAGES[:2]))
    assert cut is not None
    features = cut.features(SPLIT)
    assert features.images.shape == (5, cut.n_features)
    assert torch.equal(features.indices, SPLIT.indices)
    with torch.no_grad():
        torch.testing.assert_close(cut.rest(as_input(features.images)), network(as_input(IMAGES)), rtol=1e-5, atol=1e-5)
    own = dict(network.named_parameters())
    rest = dict(cut.rest.named_parameters())
    assert all(rest[parameter] is own[parameter] for parameter in rest), "the same parameters under the same names"
    assert set(tuned) <= set(rest)
    assert not any(parameter.startswith(tuple(before)) for parameter in rest if not parameter.startswith(tuple(tuned)))
    assert len(list(cut.frozen.parameters())) + len(rest) == len(own), "every parameter is in one half"


def test_nothing_before_the_first_layer_is_worth_a_cut():
    assert cut_network(make_network("resnet-8"), ["conv1.weight"], as_input(IMAGES[:2])) is None


class Branching(nn.Module):
    """A network that looks at its values, as no traced graph can."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, 2, 3), nn.Linear(2, 4)

    def forward(self, images):
        maps = self.first(images).mean((2, 3))
        return self.fc(maps if maps.sum() > 0 else -maps)


class BatchSized(nn.Module):
    """A network whose shapes name the size of the batch that it was traced with."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, 2, 3), nn.Linear(1800, 4)

    def forward(self, images):
        maps = self.first(images)
        return self.fc(maps.reshape(len(images), -1)) if len(images) > 1 else self.fc(maps.reshape(1, -1))


@pytest.mark.parametrize("kind", [Branching, BatchSized])
def test_a_network_that_cannot_be_traced_is_left_whole(kind):
    assert cut_network(kind().eval(), ["fc.weight"], as_input(IMAGES[:2])) is None


def test_features_that_take_too_much_memory_do_not_fit(monkeypatch):
    cut = cut_network(make_network("cnn-2"), ["conv2.weight"], as_input(IMAGES[:2]))
    assert cut.n_features == 32 * 16 * 16
    monkeypatch.setattr(frozen, "FEATURES_MAX_BYTES", 5 * 4 * cut.n_features)
    assert cut.fits(5)
    assert not cut.fits(6)
