import pytest
import torch

from engine.errors import InputError
from engine.ranking import activation_maps, exemplar_distances, filter_distances, map_features, paired_distances
from tests.engine.ranking.test_filters import Residual


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    return Residual()


@pytest.fixture
def clean() -> torch.Tensor:
    return torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noisy(clean) -> torch.Tensor:
    return (clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)


@pytest.mark.parametrize("at", ["convolution", "activation"])
def test_paired_distances_are_those_of_all_maps_at_once(model, clean, noisy, at):
    found = paired_distances(model, clean, noisy, ["second", "first"], distance="l2", at=at, batch_size=3)
    assert list(found) == ["second", "first"]
    for layer, distances in found.items():
        whole = [next(activation_maps(model, images, layer, at=at))[layer] for images in (clean, noisy)]
        torch.testing.assert_close(distances, filter_distances(*whole, "l2"), rtol=1e-5, atol=1e-7)


def test_paired_distances_refuse_sets_of_different_sizes(model, clean, noisy):
    with pytest.raises(InputError, match="as many noisy images as clean ones, got 7 clean and 6 noisy"):
        paired_distances(model, clean, noisy[:6])
    with pytest.raises(InputError, match="empty"):
        paired_distances(model, clean[:0], noisy[:0])
    with pytest.raises(InputError, match="unknown distance 'emd'"):
        paired_distances(model, clean, noisy, distance="emd")


def test_exemplar_distances_of_one_each_are_theirs(model, clean, noisy):
    found = exemplar_distances(model, clean[3:4], noisy[5:6], ["first"])["first"]
    assert found.shape == (4,)
    assert torch.equal(found, paired_distances(model, clean[3:4], noisy[5:6], ["first"])["first"][0])


def test_exemplar_distances_of_several_are_the_mean_over_all_pairs(model, clean, noisy):
    found = exemplar_distances(model, clean[:2], noisy[:3], ["second"])["second"]
    pairs = [
        exemplar_distances(model, clean[i : i + 1], noisy[j : j + 1])["second"] for i in range(2) for j in range(3)
    ]
    torch.testing.assert_close(found, torch.stack(pairs).mean(dim=0), rtol=1e-5, atol=1e-7)


def test_map_features_are_the_maps_in_one_line(model, clean):
    maps = next(activation_maps(model, clean, "first"))["first"]
    features = map_features(model, clean, "first", batch_size=3)
    torch.testing.assert_close(features, maps.flatten(1))
    positive = map_features(model, clean, "first", positive=True, batch_size=3)
    assert positive.dtype == torch.bool
    assert torch.equal(positive, features > 0)
