import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from engine.corruptions.jpeg import through_jpeg


def _pillow(image, quality):
    pixels = image.permute(1, 2, 0).numpy()
    is_grey = pixels.shape[2] == 1
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if is_grey else pixels)
    picture.save(buffer, "JPEG", quality=quality, **({} if is_grey else {"subsampling": "4:2:0"}))
    return torch.from_numpy(np.asarray(Image.open(buffer)).reshape(pixels.shape).copy()).permute(2, 0, 1)


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape)


def _smooth(*shape):
    values = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(shape), (0, 0.5, 2, 2), mode="wrap")
    return np.clip(128 + 300 * values, 0, 255)


def _black_and_white(*shape):
    return 255 * np.random.default_rng(2).integers(0, 2, shape)


@pytest.mark.parametrize("make", [_noise, _smooth, _black_and_white])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (17, 33), (5, 9), (2, 7), (4, 4), (3, 3), (1, 1), (96, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_through_jpeg_gives_libjpegs_bytes(channels, size, make):
    images = torch.from_numpy(make(4, channels, *size).astype(np.uint8))
    for quality in (1, 7, 10, 15, 25, 50, 80, 95, 100):
        found = through_jpeg(images, quality)
        for image, mine in zip(images, found, strict=True):
            assert torch.equal(mine, _pillow(image, quality)), quality


@pytest.mark.gpu
def test_through_jpeg_is_the_same_on_cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    images = torch.from_numpy(_noise(8, 3, 32, 32).astype(np.uint8))
    assert torch.equal(through_jpeg(images.cuda(), 10).cpu(), through_jpeg(images, 10))
