import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.corruptions.image_filters import correlate, fold_positions, gaussian_filter, line_blur, zoom


def _image(height=13, width=17):
    return torch.from_numpy(np.random.default_rng(0).random((height, width)))


@pytest.mark.parametrize("border", ["nearest", "mirror", "reflect"])
def test_fold_positions_is_scipys_border(border):
    positions = torch.arange(-23, 30)
    ramp = np.arange(7.0)
    expected = ndimage.map_coordinates(ramp, [positions.numpy()], order=0, mode=border)
    assert fold_positions(positions, 7, border).tolist() == expected.astype(int).tolist()
    assert fold_positions(positions, 1, border).unique().tolist() == [0]


@pytest.mark.parametrize(("truncate", "border"), [(4, "nearest"), (3, "reflect")])
@pytest.mark.parametrize("sigma", [0.05, 0.4, 1, 2.3, 6.4])
def test_gaussian_filter_is_scipys(sigma, truncate, border):
    expected = ndimage.gaussian_filter(_image().numpy(), sigma, truncate=truncate, mode=border)
    np.testing.assert_allclose(gaussian_filter(_image(), sigma, truncate=truncate, border=border), expected, atol=1e-14)


def test_correlate_is_scipys():
    kernel = np.random.default_rng(1).random((5, 5))
    kernel[1, 3] = 0
    expected = ndimage.correlate(_image().numpy(), kernel, mode="mirror")
    np.testing.assert_allclose(correlate(_image(), kernel, "mirror"), expected, atol=1e-13)


@pytest.mark.parametrize("factor", [1, 1.01, 1.25, 2.25])
@pytest.mark.parametrize("side", [9, 32])
def test_zoom_is_the_middle_of_scipys(factor, side):
    image = _image(side, side).numpy()
    cropped = int(np.ceil(side / factor))
    start = (side - cropped) // 2
    large = ndimage.zoom(image[start : start + cropped, start : start + cropped], factor, order=1)
    cut = (large.shape[0] - side) // 2
    expected = large[cut : cut + side, cut : cut + side]
    np.testing.assert_allclose(zoom(torch.from_numpy(image), factor), expected, atol=1e-13)


def test_line_blur_keeps_a_flat_image_and_spreads_a_dot_to_one_side():
    flat = torch.full((1, 1, 8, 8), 200, dtype=torch.uint8)
    assert torch.equal(line_blur(flat, torch.tensor([30.0]).double(), 3, 2), flat)
    dot = torch.zeros(1, 1, 5, 9, dtype=torch.uint8)
    dot[0, 0, 2, 6] = 255
    blurred = line_blur(dot, torch.tensor([0.0]).double(), 1, 1)[0, 0]
    weights = np.exp([0, -0.5, -2])
    # A pixel at x reads x, x + 1 and x + 2.
    assert blurred[2].tolist() == [0, 0, 0, 0, *(255 * weights / weights.sum()).astype(int)[::-1].tolist(), 0, 0]
    assert not blurred[[0, 1, 3, 4]].any()
