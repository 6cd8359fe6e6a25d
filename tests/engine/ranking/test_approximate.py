import math

import numpy as np
import ot
import pytest
import torch
from scipy.stats import wasserstein_distance

from engine.ranking import filter_distances
from engine.ranking.approximate import BLUR, N_DIRECTIONS
from engine.ranking.spatial import ground_distances


def smooth_maps(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 4, 8, size + 4, size + 4, generator=generator)
    clean, noisy = torch.nn.functional.avg_pool3d(noise, (1, 5, 5), stride=1).relu()
    return clean, (0.7 * clean + 0.3 * noisy)


def test_sliced_emd_is_scipy_s_over_the_directions():
    clean, noisy = smooth_maps(6, 0)
    a, b = clean[0, 0].flatten().double().numpy(), noisy[0, 0].flatten().double().numpy()
    y, x = np.divmod(np.arange(36), 6)
    expected = []
    for k in range(N_DIRECTIONS):
        along = y * math.sin(math.pi * k / N_DIRECTIONS) + x * math.cos(math.pi * k / N_DIRECTIONS)
        expected.append(wasserstein_distance(along, along, a, b))
    assert filter_distances(clean, noisy, "sliced_emd")[0, 0].item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_sliced_emd_is_a_lower_bound_of_emd_spatial_and_ranks_alike():
    clean, noisy = smooth_maps(8, 1)
    sliced, exact = (filter_distances(clean, noisy, name) for name in ("sliced_emd", "emd_spatial"))
    assert (sliced <= exact + 1e-9).all()
    assert np.corrcoef(sliced.flatten(), exact.flatten())[0, 1] > 0.95


def test_sinkhorn_is_pot_s_divergence():
    clean, noisy = smooth_maps(6, 2)
    ground = ground_distances(6, 6, 2)
    blur = BLUR * ground.max()

    def cost(p: np.ndarray, q: np.ndarray) -> float:
        plan = ot.sinkhorn(p, q, ground, blur, stopThr=1e-12, numItermax=20_000)
        relative = np.where(plan > 0, plan * np.log(np.maximum(plan, 1e-300) / np.outer(p, q).clip(1e-300)), 0)
        return float((plan * ground).sum() + blur * relative.sum())

    clean, noisy = clean + 0.01, noisy + 0.01
    a, b = (m[0, 0].flatten().double().numpy() for m in (clean, noisy))
    a, b = a / a.sum(), b / b.sum()
    expected = cost(a, b) - cost(a, a) / 2 - cost(b, b) / 2
    assert filter_distances(clean, noisy, "sinkhorn")[0, 0].item() == pytest.approx(expected, rel=1e-3)


def test_sinkhorn_of_a_moved_point_is_how_far_it_moved():
    clean, noisy = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    clean[0, 0, 2, 2] = 1.0
    noisy[0, 0, 8, 10] = 1.0
    assert filter_distances(clean, noisy, "sinkhorn").item() == pytest.approx(10.0, rel=1e-6)


def test_sinkhorn_ranks_as_emd_spatial_does():
    clean, noisy = smooth_maps(8, 3)
    found, exact = (filter_distances(clean, noisy, name) for name in ("sinkhorn", "emd_spatial"))
    assert np.corrcoef(found.flatten(), exact.flatten())[0, 1] > 0.9


def test_sinkhorn_of_a_pair_does_not_depend_on_slower_ones():
    clean, noisy = smooth_maps(8, 4)
    clean[1], noisy[1] = clean[1] > clean[1].mean(), noisy[1] > 2 * noisy[1].mean()  # sharp ones take more rounds
    alone = filter_distances(clean[:1], noisy[:1], "sinkhorn")
    torch.testing.assert_close(filter_distances(clean, noisy, "sinkhorn")[:1], alone, rtol=1e-11, atol=0)
