import gc

import pytest
import torch

from engine.errors import InputError
from engine.ranking import (
    DISTANCES,
    activation_maps,
    check_distance,
    exemplar_distances,
    filter_distances,
    map_features,
    paired_distances,
    register_distance,
)
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
    with pytest.raises(InputError, match="empty"):
        paired_distances(model, clean, noisy[:0])
    with pytest.raises(InputError, match="unknown distance 'emd'"):
        paired_distances(model, clean, noisy, distance="emd")
    with pytest.raises(InputError, match="unknown rankable layer 'third'"):
        paired_distances(model, clean, noisy, ["third"])


@pytest.fixture
def _nothing_older():
    """Have the garbage collector forget what there is, so that looking at what is new takes no time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_nothing_older")
def test_paired_distances_hold_no_more_maps_for_more_images(model, monkeypatch):
    monkeypatch.setattr(DISTANCES, "_entries", dict(DISTANCES._entries))
    held: list[int] = []

    @register_distance("bytes-held")
    def bytes_held(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        tensors = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor and thing.ndim == 4]
        maps = [tensor.untyped_storage() for tensor in tensors if tensor.shape[1] != 3]  # images have 3 channels
        held.append(sum({storage.data_ptr(): storage.nbytes() for storage in maps}.values()))
        return (clean - noisy).abs().mean(dim=(2, 3))

    peaks = []
    for n in (6, 60):
        held.clear()
        images = torch.rand(n, 3, 8, 8)
        assert len(paired_distances(model, images, images, distance="bytes-held", batch_size=2)["first"]) == n
        peaks.append(max(held))
    assert peaks[0] >= 2 * 2 * 4 * 8 * 8 * 4  # the maps of two images by four filters, clean and noisy
    assert peaks[1] == peaks[0]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_check_distance_names_the_layer_whose_maps_are_too_small(device):
    with torch.device(device):
        narrow = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 4))
        example = torch.zeros(1, 3, 4, 4)
    check_distance(narrow, example, "0", distance="emd_spatial")
    check_distance(narrow, example, distance="emd_1d")
    with pytest.raises(InputError, match=r"layer '2': distance 'emd_spatial' needs activation maps of two pixels"):
        check_distance(narrow, example, distance="emd_spatial")


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


def test_features_that_only_say_what_is_positive_hide_no_nan(model, clean):
    with torch.no_grad():
        model.first.weight[0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite values, so that no exemplar is defined"):
        map_features(model, clean, "first", positive=True, at="convolution", batch_size=3)
