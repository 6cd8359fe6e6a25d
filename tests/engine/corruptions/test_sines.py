"""Sines that have the same bits everywhere, and the corruptions that rest on them."""

import math

import mpmath
import pytest
import torch

from benchmarks.last_bits import bytes_apart
from engine.corruptions import corrupt
from engine.corruptions.sines import cosine, sine
from tests.engine.pretend_device import counting, on_device, on_host, pretend_device


def numbers() -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    drawn = torch.rand(400, generator=draws, dtype=torch.float64)
    quarters = torch.arange(-40, 40, dtype=torch.float64) * (math.pi / 4)
    return torch.cat([70 * drawn, 2e6 * (drawn - 0.5), quarters, torch.tensor([0.0, 1e-300, -1e-9, 1e6]).double()])


@pytest.mark.parametrize(("found", "true"), [(sine, mpmath.sin), (cosine, mpmath.cos)])
def test_they_are_the_nearest_numbers_to_the_true_ones(found, true):
    values = numbers()
    with mpmath.workprec(300):
        expected = [float(true(mpmath.mpf(value))) for value in values.tolist()]
    assert found(values).tolist() == expected


def test_they_are_the_same_on_a_device_and_wait_for_nothing():
    with pretend_device():
        moved = on_device(numbers())
        with counting() as counts:
            found = sine(moved)
        assert counts.n_waits == 0
        assert torch.equal(on_host(found), sine(numbers()))


@pytest.mark.parametrize("name", ["ripple", "lines", "checkerboard_cutout"])
def test_what_a_few_angles_decide_does_not_rest_on_torchs(name, monkeypatch):
    def refused(*given):
        raise AssertionError("torch's last bits are not the same everywhere")

    for function in ("sin", "cos"):
        monkeypatch.setattr(torch.Tensor, function, refused)
    corrupt(torch.zeros(2, 3, 32, 32).byte(), name, 3, seed=0)


def test_the_last_bits_of_sines_would_change_bytes():
    """Else torch's would do."""
    images = torch.arange(256).byte()[:, None, None, None].expand(-1, 3, 32, 32).contiguous()
    n_apart, most = bytes_apart(images, "ripple", "cifar-c")
    assert n_apart > 0
    assert most == 1
