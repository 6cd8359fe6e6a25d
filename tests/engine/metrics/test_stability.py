import numpy as np
import pytest
import torch
from torch import nn

from engine.corruptions import distort
from engine.data import Split
from engine.errors import InputError
from engine.layers import PushPull2d
from engine.metrics import response_stability
from engine.metrics.stability import mean_correlation
from engine.models import build_model

LEVELS = (0.01, 0.1)


def make_model(**push_pull) -> nn.Module:
    torch.manual_seed(0)
    settings = {"where": "first", "h": 2.0, **push_pull}
    model = build_model("lenet-a", num_classes=10, in_channels=1, image_size=16, push_pull=settings)
    model.normalise.set_statistics(0.4, 0.3)
    return model


@pytest.fixture
def split() -> Split:
    """Return bright strokes on black."""
    images = torch.zeros(6, 1, 16, 16, dtype=torch.uint8)
    for number in range(6):
        images[number, 0, :, 5 + number] = 255
        images[number, 0, 4 + number] = 200
    return Split(images, torch.zeros(6).long(), torch.arange(6) + 10)


def test_maps_are_the_layer_s_on_the_images_that_it_is_given(split):
    model = make_model(alpha=0.7)
    found = response_stability(model, "conv1", split, LEVELS, image=2, filter=3, seed=5)
    noisy = distort(split.images, "gaussian_variance", 0.1, seed=5, indices=split.indices)
    assert found.levels == (0.0, *LEVELS)
    assert torch.equal(found.images[0], split.images[2])
    assert torch.equal(found.images[2], noisy[2])
    given = (noisy.float() / 255 - 0.4) / 0.3
    torch.testing.assert_close(found.maps["push-pull"][2], model.conv1(given)[2, 3])
    plain = nn.functional.conv2d(given, model.conv1.weight, model.conv1.bias).relu()
    torch.testing.assert_close(found.maps["convolution"][2], plain[2, 3])
    assert found.filter == 3


def test_the_filter_that_answers_most_strongly_is_shown(split):
    model = make_model()
    strongest = response_stability(model, "conv1", split, LEVELS, image=1).filter
    peaks = [
        response_stability(model, "conv1", split, LEVELS, image=1, filter=k).maps["convolution"][0] for k in range(6)
    ]
    assert strongest == int(torch.stack([peak.max() for peak in peaks]).argmax())


def test_without_a_larger_pull_kernel_and_a_strength_both_are_the_same(split):
    found = response_stability(make_model(alpha=0.0), "conv1", split, LEVELS)
    assert found.correlation["push-pull"] == pytest.approx(found.correlation["convolution"])
    assert torch.equal(found.maps["push-pull"], found.maps["convolution"])


def test_more_noise_makes_less_stable_maps(split):
    found = response_stability(make_model(), "conv1", split, (0.001, 0.1, 1.0))
    for values in found.correlation.values():
        assert values[0] == 1
        assert list(values) == sorted(values, reverse=True)


def test_mean_correlation_is_numpy_s():
    draws = torch.Generator().manual_seed(0)
    clean, noisy = torch.rand(3, 4, 5, 6, generator=draws), torch.rand(3, 4, 5, 6, generator=draws)
    expected = [np.corrcoef(clean[i, f].flatten(), noisy[i, f].flatten())[0, 1] for i in range(3) for f in range(4)]
    assert mean_correlation(clean, noisy) == pytest.approx(np.mean(expected), rel=1e-6)
    assert mean_correlation(clean, 3 * clean - 1) == pytest.approx(1)


def test_mean_correlation_leaves_out_filters_without_an_answer_and_counts_those_that_fall_silent():
    clean = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    noisy = clean.clone()
    clean[0, 0], noisy[0, 1] = 0.0, 0.0
    assert mean_correlation(clean, noisy) == pytest.approx((0 + 1) / 2)
    with pytest.raises(InputError, match="answers none of the clean images"):
        mean_correlation(torch.zeros(1, 2, 4, 4), noisy[:, :2])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"layer": "conv2"}, "layer 'conv2' must be a push–pull layer, got Conv2d"),
        ({"layer": "conv9"}, "layer 'conv9' must be a push–pull layer, got NoneType"),
        ({"levels": ()}, "at least one noise level"),
        ({"image": 6}, "`image` must be from 0 to 5, got 6"),
        ({"filter": -1}, "`filter` must be from 0 to 5, got -1"),
        ({"distortion": "awg"}, r"unknown distortion 'awg' \(did you mean 'awgn'\?\)"),
    ],
)
def test_what_cannot_be_shown_is_refused(split, arguments, match):
    with pytest.raises(InputError, match=match):
        response_stability(make_model(), **{"layer": "conv1", "split": split, "levels": LEVELS, **arguments})


def test_a_layer_deep_in_a_network_is_given_what_comes_before_it(split):
    torch.manual_seed(0)
    model = build_model("resnet-8", num_classes=10, in_channels=1, image_size=16, push_pull={"where": "layer2.0.conv1"})
    found = response_stability(model, "layer2.0.conv1", split, LEVELS)
    assert isinstance(model.get_submodule("layer2.0.conv1"), PushPull2d)
    assert found.maps["push-pull"].shape == (3, 8, 8)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_maps_that_are_not_finite_pass_for_no_constant_ones(value, place):
    maps = [torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    maps[place][0, 1, 2, 2] = value
    with pytest.raises(InputError, match="response maps hold NaN or infinite values, which correlate"):
        mean_correlation(*maps)


def test_a_network_that_diverged_has_no_stability(split):
    model = make_model()
    with torch.no_grad():
        model.conv1.weight[2] = np.nan
    with pytest.raises(InputError, match="did it diverge"):
        response_stability(model, "conv1", split, LEVELS)
