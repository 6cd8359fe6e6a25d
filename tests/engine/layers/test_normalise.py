import pytest
import torch

from engine.errors import InputError
from engine.layers import Normalise


def test_normalise_subtracts_and_divides_by_channel():
    layer = Normalise(2)
    layer.set_statistics([0.25, 0.5], [0.5, 0.125])
    images = torch.tensor([[[[0.75]], [[0.25]]]])
    assert layer(images).flatten().tolist() == [1.0, -2.0]


def test_statistics_start_at_one_half_and_one_quarter():
    assert Normalise(1)(torch.tensor([[[[1.0, 0.5]]]])).flatten().tolist() == [2.0, 0.0]


def test_statistics_travel_in_the_state_dict_and_are_not_trained():
    layer, other = Normalise(3), Normalise(3)
    layer.set_statistics(0.4, torch.tensor([0.1, 0.2, 0.3]))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.mean, torch.full((3,), 0.4))
    assert torch.equal(other.std, torch.tensor([0.1, 0.2, 0.3]))
    assert not list(layer.parameters())


@pytest.mark.parametrize(
    ("mean", "std", "match"),
    [
        ([0.5, 0.5], 1.0, "`mean` must be 1 or 3 finite numbers"),
        (float("nan"), 1.0, "`mean` must be 1 or 3 finite numbers"),
        (0.5, [1.0, 0.0, 1.0], "`std` must be > 0"),
    ],
)
def test_bad_statistics_are_refused_and_change_nothing(mean, std, match):
    layer = Normalise(3)
    with pytest.raises(InputError, match=match):
        layer.set_statistics(mean, std)
    assert torch.equal(layer.mean, torch.full((3,), 0.5))


def test_bytes_and_other_channels_are_refused():
    with pytest.raises(InputError, match="divide uint8 images by 255"):
        Normalise(3)(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"images of 3 channel\(s\), got shape \(1, 1, 4, 4\)"):
        Normalise(3)(torch.zeros(1, 1, 4, 4))
