import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.layers import PushPull2d, pull_size
from engine.layers.pull_kernel import interpolation_steps


def upsample_by_hand(kernel, size):
    """Interpolate a 2-d kernel with numpy's piecewise linear interpolation, rows first, corners kept."""
    rows = np.stack([np.interp(np.linspace(0, len(row) - 1, size), np.arange(len(row)), row) for row in kernel])
    return np.stack([np.interp(np.linspace(0, len(c) - 1, size), np.arange(len(c)), c) for c in rows.T]).T


@pytest.mark.parametrize(
    ("s", "h", "expected"),
    [
        (3, 1, 3),
        (3, 1.33, 3),
        (3, 4 / 3, 5),
        (3, 1.5, 5),
        (3, 1.99, 5),
        (3, 2, 7),
        (3, 2.66, 7),
        (3, 8 / 3, 9),
        (3, 3, 9),
        (5, 1.2, 7),
        (5, 1.5, 7),
        (5, 2, 11),
        (7, 8 / 7, 9),
        (7, 2, 15),
        (11, 1.5, 17),
        (1, 2, 3),
        (4, 1, 4),
    ],
)
def test_pull_size_is_the_papers_formula(s, h, expected):
    assert pull_size(s, h) == expected


def test_pull_size_counts_a_product_that_rounding_left_below_an_even_integer():
    sides_and_targets = [(s, target) for s in range(3, 60, 2) for target in range(s + 1, 6 * s, 2)]
    assert any(s * (target / s) < target for s, target in sides_and_targets)  # there are such products
    for s, target in sides_and_targets:
        assert pull_size(s, target / s) == target + 1


@pytest.mark.parametrize("h", [0.99, 0, -1, float("nan"), float("inf"), "2", None, True])
def test_pull_size_refuses_h(h):
    with pytest.raises(InputError, match="`h` must be a finite number ≥ 1"):
        pull_size(3, h)


def test_pull_size_refuses_even_sides_and_no_sides():
    with pytest.raises(InputError, match=r"odd sides, got side 4 with h = 1.5"):
        pull_size(4, 1.5)
    with pytest.raises(InputError, match="must be an integer ≥ 1, got 0"):
        pull_size(0, 1)


def test_interpolation_steps_of_3_to_7_by_hand():
    steps, divisor = interpolation_steps(3, 7)
    assert divisor == 3
    assert steps.tolist() == [[3, 0, 0], [2, 1, 0], [1, 2, 0], [0, 3, 0], [0, 2, 1], [0, 1, 2], [0, 0, 3]]


def test_interpolation_steps_of_one_sample_copy_it():
    assert interpolation_steps(1, 3)[0].tolist() == [[1], [1], [1]]
    assert interpolation_steps(1, 1)[0].tolist() == [[1]]


@pytest.mark.parametrize(("s", "size"), [(s, size) for s in (1, 3, 5, 7) for size in range(s, 22, 2)])
def test_interpolation_steps_sum_to_one_and_fit_every_float_type(s, size):
    steps, divisor = interpolation_steps(s, size)
    assert steps.shape == (size, s)
    assert (steps.sum(1) == divisor).all()
    assert (steps.to(torch.bfloat16).to(torch.int64) == steps).all()


def test_pull_weight_of_a_3x3_kernel_by_hand():
    layer = PushPull2d(1, 1, 3, h=1.5)
    kernel = torch.tensor([[0.0, 2, 4], [6, 8, 2], [4, 0, 8]])
    with torch.no_grad():
        layer.weight.copy_(kernel[None, None])
    expected = torch.tensor(
        [[0.0, 1, 2, 3, 4], [3, 4, 5, 4, 3], [6, 7, 8, 5, 2], [5, 4.5, 4, 4.5, 5], [4, 2, 0, 4, 8]],
    )
    torch.testing.assert_close(layer.pull_weight[0, 0], -expected, rtol=0, atol=0)


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 5), (7, 7), (3, 5), (1, 3)])
@pytest.mark.parametrize("h", [1.0, 1.5, 2.0, 2.7, 4.0])
def test_pull_weight_is_the_inverted_linear_interpolation(kernel_size, h):
    layer = PushPull2d(2, 3, kernel_size, h=h, dtype=torch.float64)
    size = tuple(pull_size(side, h) for side in kernel_size)
    assert layer.pull_kernel_size == size
    assert layer.pull_weight.shape == (3, 2, *size)
    independent = torch.nn.functional.interpolate(layer.weight, size=size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(layer.pull_weight, -independent, rtol=1e-12, atol=1e-12)
    if size[0] == size[1]:
        by_hand = upsample_by_hand(layer.weight[2, 1].detach().numpy(), size[0])
        np.testing.assert_allclose(layer.pull_weight[2, 1].detach().numpy(), -by_hand, atol=1e-12)


def test_pull_weight_is_exact_in_double_after_a_conversion():
    layer = PushPull2d(1, 1, 3, h=2).double()
    independent = torch.nn.functional.interpolate(layer.weight, size=7, mode="bilinear", align_corners=True)
    torch.testing.assert_close(layer.pull_weight, -independent, rtol=1e-14, atol=1e-14)
