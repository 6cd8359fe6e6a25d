import colorsys

import numpy as np
import pytest
import torch

from engine.corruptions.colour import grey, hsv_to_rgb, require_channels, rgb_to_hsv
from engine.errors import InputError


def _colours():
    corners = [(a, b, c) for a in (0, 0.5, 1) for b in (0, 0.5, 1) for c in (0, 0.5, 1)]
    return np.concatenate([np.array(corners, dtype=float), np.random.default_rng(0).random((200, 3))])


def test_rgb_to_hsv_is_colorsys():
    colours = _colours()
    expected = np.array([colorsys.rgb_to_hsv(*colour) for colour in colours])
    found = rgb_to_hsv(torch.from_numpy(colours)[:, :, None, None])
    np.testing.assert_allclose(torch.stack(found, dim=1).squeeze(), expected, atol=1e-12)


def test_hsv_to_rgb_is_colorsys():
    colours = _colours()
    expected = np.array([colorsys.hsv_to_rgb(*colour) for colour in colours])
    hue, saturation, value = torch.from_numpy(colours)[:, :, None, None].unbind(1)
    np.testing.assert_allclose(hsv_to_rgb(hue, saturation, value).squeeze(), expected, atol=1e-12)


def test_grey_of_grey_is_itself():
    image = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    assert grey(image) is image
    np.testing.assert_allclose(grey(image.expand(-1, 3, -1, -1)), image, atol=1e-15)


def test_require_channels_names_the_corruption():
    with pytest.raises(InputError, match=r"'snow' needs images of 1 or 3 channels, got 4"):
        require_channels(torch.zeros(1, 4, 2, 2), "snow")
