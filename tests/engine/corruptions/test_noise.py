import numpy as np
import pytest
import torch

from engine.corruptions import corrupt


def _grey(value, n=20):
    return torch.full((n, 3, 32, 32), value, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "value", "deviation"), [("gaussian_noise", 128, 0.08), ("speckle_noise", 102, 0.4 * 0.12)]
)
def test_gaussian_noises_have_their_deviation(name, value, deviation):
    noise = (corrupt(_grey(value), name, 3, seed=0).double() + 0.5) / 255 - value / 255
    assert abs(noise.std().item() / deviation - 1) < 4 / np.sqrt(2 * noise.numel())
    # Truncation takes half a level on average, which the 0.5 gives back.
    assert abs(noise.mean().item()) < 4 * deviation / np.sqrt(noise.numel())


def test_impulse_noise_replaces_its_share_by_black_and_white():
    noisy = corrupt(_grey(128), "impulse_noise", 5, seed=0)
    n = noisy.numel()
    assert noisy.unique().tolist() == [0, 128, 255]
    for extreme in (0, 255):
        assert abs((noisy == extreme).float().mean().item() - 0.035) < 4 * np.sqrt(0.035 / n)


def test_shot_noise_has_poisson_variance_and_levels():
    noisy = corrupt(_grey(51), "shot_noise", 3, seed=0)
    counts = ((noisy.double() + 0.5) / 255 * 100).round()
    # 51/255·100 photons
    assert abs(counts.mean().item() - 20) < 4 * np.sqrt(20 / counts.numel())
    assert abs(counts.var().item() / 20 - 1) < 0.03
