import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.corruptions import DISTORTIONS, default_levels, distort, register_distortion
from engine.corruptions.distortions import DISTORTION_REGISTRY, _default_levels
from engine.errors import InputError


def _grey(value=128, n=8, side=32):
    return torch.full((n, 1, side, side), value, dtype=torch.uint8)


def _varied(n=5):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, 12, 12), dtype=np.uint8))


def test_distortions_and_their_default_levels():
    assert DISTORTIONS == ("awgn", "blur", "gaussian_variance", "poisson", "contrast")
    assert default_levels("awgn") == (5.0, 15.0, 25.0)
    assert default_levels("blur") == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distort_does_not_depend_on_the_batch(name):
    images = _varied()
    for level in default_levels(name):
        whole = distort(images, name, level, seed=2)
        assert whole.dtype == torch.uint8
        assert torch.equal(distort(images[3:], name, level, seed=2, indices=[3, 4]), whole[3:])
        assert not torch.equal(whole, images)


@pytest.mark.parametrize(("name", "level", "deviation"), [("awgn", 15, 15), ("gaussian_variance", 0.01, 25.5)])
def test_gaussian_distortions_have_their_deviation(name, level, deviation):
    noise = distort(_grey(), name, level, seed=0).double() - 128
    n = noise.numel()
    # Rounding adds a variance of 1/12.
    assert abs(noise.std().item() - np.sqrt(deviation**2 + 1 / 12)) < 4 * deviation / np.sqrt(2 * n)
    assert abs(noise.mean().item()) < 4 * deviation / np.sqrt(n)


def test_poisson_has_its_mean_and_variance():
    photons = distort(_grey(102), "poisson", 20, seed=0).double() / 255 * 20
    # 102/255·20 = 8 photons; bytes are rounded to within 0.04 photons.
    assert abs(photons.mean().item() - 8) < 4 * np.sqrt(8 / photons.numel()) + 0.04
    assert abs(photons.var().item() - 8) < 0.6


def test_blur_is_scipys_within_a_byte():
    images = _varied()
    expected = ndimage.gaussian_filter(images.double().numpy(), (0, 0, 1.5, 1.5), radius=(0, 0, 3, 3), mode="nearest")
    np.testing.assert_allclose(distort(images, "blur", 1.5, seed=0), expected, atol=0.5 + 1e-9)


def test_contrast_is_about_mid_grey():
    image = torch.tensor([0, 100, 128, 255], dtype=torch.uint8).reshape(1, 1, 2, 2)
    assert distort(image, "contrast", 0.5, seed=0).flatten().tolist() == [64, 114, 128, 191]
    assert distort(image, "contrast", 2, seed=0).flatten().tolist() == [0, 72, 128, 255]


@pytest.mark.parametrize(("name", "level"), [("awgn", 0), ("blur", 0), ("gaussian_variance", 0), ("contrast", 1)])
def test_neutral_levels_change_nothing(name, level):
    assert torch.equal(distort(_varied(), name, level, seed=0), _varied())


def test_equal_levels_draw_alike_whatever_their_type():
    images = _varied()
    assert torch.equal(distort(images, "awgn", 5, seed=0), distort(images, "awgn", np.float32(5), seed=0))


@pytest.mark.parametrize(
    ("name", "level", "message"),
    [
        ("awgn", -1, r"distortion 'awgn' \(standard deviation of 255\) must lie in \[0, 255\], got -1.0"),
        ("blur", 65, r"\(sigma in pixels\) must lie in \[0, 64\], got 65.0"),
        ("gaussian_variance", 1.5, r"\(variance, image in 0…1\) must lie in \[0, 1\], got 1.5"),
        ("poisson", 0, r"\(photons at full scale\) must lie in \[0.1, 10000\], got 0.0"),
        ("contrast", -0.5, r"\(factor about mid-grey\) must lie in \[0, 10\], got -0.5"),
        ("awgn", float("nan"), r"must be finite, got nan"),
        ("awgn", "5", r"must be a number, got '5'"),
        ("awgn", None, r"must be a number, got None"),
        ("awng", 5, r"unknown distortion 'awng' \(did you mean 'awgn'\?\)"),
    ],
)
def test_distort_refuses(name, level, message):
    with pytest.raises(InputError, match=message):
        distort(_varied(), name, level, seed=0)


def test_default_levels_refuses_unknown_names():
    with pytest.raises(InputError, match="unknown distortion 'fog'"):
        default_levels("fog")


def test_distort_refuses_float_images():
    with pytest.raises(InputError, match="must be uint8"):
        distort(torch.rand(1, 3, 4, 4), "awgn", 5, seed=0)


def test_register_distortion_adds_a_name():
    try:

        @register_distortion("darken", levels=(10, 20))
        def darken(images, level, draws):
            return (images.int() - int(level)).clamp(min=0).to(torch.uint8)

        assert default_levels("darken") == (10.0, 20.0)
        assert int(distort(_grey(), "darken", 20, seed=0)[0, 0, 0, 0]) == 108
    finally:
        DISTORTION_REGISTRY._entries.pop("darken", None)
        _default_levels.pop("darken", None)


@pytest.mark.parametrize("sigma", [1e-300, 1e-160, 1e-4])
def test_a_blur_too_narrow_to_be_one_changes_nothing(sigma):
    images = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(distort(images, "blur", sigma, seed=0), images)
