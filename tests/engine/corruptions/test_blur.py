import numpy as np
import torch

from engine.corruptions.blur import disk, glass_blur
from tests.engine.corruptions.reference import NumpyDraws


def test_disk_is_a_point_a_plus_and_a_box():
    assert (disk(0.3, 0.05) > 1e-6).sum() == 1
    assert (disk(1, 0.05) > 1e-6).sum() == 5
    assert (disk(1.5, 0.05) > 1e-6).sum() == 9
    np.testing.assert_allclose(disk(2.5, 0.5).sum(), 1, atol=1e-6)


def test_glass_blur_is_the_benchmarks_loop():
    """The loop as written: pixels from last to first, each overwritten by the neighbour that it draws."""
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    expected = image.copy()
    state = np.random.RandomState(5)
    for _ in range(2):
        for row in range(8, 1, -1):
            for column in range(6, 1, -1):
                right, down = state.randint(-1, 1, size=2)
                expected[row, column] = expected[row + down, column + right]
    # A sigma of 0.05 is no blur: what is left is the two truncations, which change nothing here.
    found = glass_blur(torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(), (0.05, 2), NumpyDraws([5]))
    np.testing.assert_array_equal(found[0].permute(1, 2, 0), expected)
