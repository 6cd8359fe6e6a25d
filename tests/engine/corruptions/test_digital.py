import numpy as np
import pytest
import torch
from PIL import Image

from engine.corruptions import corrupt
from engine.corruptions.digital import resize_box, sample_bilinear


def _images(*shape):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("before", "after"), [((32, 32), (30, 30)), ((20, 20), (32, 32)), ((17, 40), (5, 23)), ((3, 3), (1, 1))]
)
def test_resize_box_is_pillows(before, after):
    images = _images(4, 3, *before)
    found = resize_box(images, *after)
    for image, mine in zip(images, found, strict=True):
        theirs = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(after[::-1], Image.Resampling.BOX)
        np.testing.assert_array_equal(mine.permute(1, 2, 0), np.asarray(theirs))


def test_contrast_by_hand():
    image = torch.tensor([0, 100, 200, 100], dtype=torch.uint8).reshape(1, 1, 2, 2)
    assert corrupt(image, "contrast", 2, seed=0).flatten().tolist() == [50, 100, 150, 100]


def test_sample_bilinear_at_whole_and_half_positions():
    image = torch.tensor([[0.0, 2.0], [4.0, 8.0]], dtype=torch.float64).reshape(1, 1, 2, 2)
    rows = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]], dtype=torch.float64)
    columns = torch.tensor([[[0.0, 1.0], [0.5, -0.5]]], dtype=torch.float64)
    # (0.5, −0.5): the doubled edge pixel, half way between 0 and 4.
    assert sample_bilinear(image, rows, columns, "reflect").flatten().tolist() == [0, 8, 3.5, 2]
