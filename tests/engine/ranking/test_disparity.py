import pytest
import torch

from engine.errors import InputError
from engine.ranking import activation_disparity, activation_maps
from tests.engine.ranking.test_filters import Residual


@pytest.fixture
def model() -> Residual:
    return Residual()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("at", ["convolution", "activation"])
def test_disparity_counts_the_filters_that_switch_at_each_location(model, images, at):
    noisy = (images + 0.5 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    found = activation_disparity(model, images, noisy, at=at, batch_size=2)
    clean_maps, noisy_maps = (next(activation_maps(model, which, at=at)) for which in (images, noisy))
    assert set(found) == {"first", "second"}
    for layer, counts in found.items():
        a, b = clean_maps[layer], noisy_maps[layer]
        expected = torch.zeros(len(images), *a.shape[2:], dtype=torch.int32)
        for i, f, y, x in torch.cartesian_prod(*map(torch.arange, a.shape)).tolist():
            expected[i, y, x] += bool(a[i, f, y, x] > 0) != bool(b[i, f, y, x] > 0)
        assert torch.equal(counts, expected)
        assert counts.max() > 0


def test_images_without_noise_switch_nothing(model, images):
    found = activation_disparity(model, images, images.clone(), "first")
    assert list(found) == ["first"]
    assert found["first"].sum() == 0


def test_disparity_refuses_sets_that_do_not_pair_up(model, images):
    with pytest.raises(InputError, match="must pair up, got"):
        activation_disparity(model, images, images[:3])
    with pytest.raises(InputError, match="unknown rankable layer 'third'"):
        activation_disparity(model, images, images, "third")


def test_a_filter_whose_response_is_nan_is_not_taken_for_one_that_is_off(model, images):
    with torch.no_grad():
        model.first.weight[0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite values, so that no disparity is defined"):
        activation_disparity(model, images, images.clone(), "first", at="convolution")
