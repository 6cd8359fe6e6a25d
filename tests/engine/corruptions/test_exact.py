"""Tables of corruptions that have the same bits on every machine."""

import hashlib

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from engine.corruptions import blur, exact
from engine.corruptions.draws import _poisson_tables
from engine.corruptions.image_filters import _OFF_BY_A_BIT, gaussian_weights


def test_exponentials_are_the_nearest_numbers_to_the_true_ones():
    values = [0.0, -1e-300, -746.0, -1e9, 1.0, *(-800 * np.random.default_rng(0).random(200)).tolist()]
    with mpmath.workprec(300):
        expected = [float(mpmath.exp(mpmath.mpf(value))) for value in values]
    assert exact.exp(values).tolist() == expected


@pytest.mark.parametrize("photons", [0.3, 60.0, 3000.0])
def test_poisson_masses_are_scipy_s(photons):
    means = np.array([0.0, 0.2, 0.5, 1.0]) * photons
    n_counts = int(photons + 12 * photons**0.5 + 32)
    found = exact.poisson_masses(means, n_counts)
    expected = stats.poisson.pmf(np.arange(n_counts), means[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-290)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-14)


def test_no_table_asks_numpy_for_an_exponential_or_a_logarithm(monkeypatch):
    """Theirs differ in the last bit between versions and processors."""

    def refused(*given, **others):
        raise AssertionError("numpy's last bits are not the same everywhere")

    for name in ("exp", "log", "power"):
        monkeypatch.setattr(np, name, refused)
    tables = [gaussian_weights.__wrapped__(sigma, 8) for sigma in (0.25, 0.6, 1.0, 1.7)]
    tables += [blur.disk(3, 0.1), blur.disk(10, 0.5), _poisson_tables.__wrapped__(75.0, torch.device("cpu"))[0].numpy()]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(table).tobytes() for table in tables)).hexdigest()
    assert digest[:16] == "b6241ed4a86a7c1a"


def test_the_benchmarks_sigmas_have_the_reference_sets_last_bits_and_no_others():
    with mpmath.workprec(200):
        for sigma in (0.4, 0.8, 1.1, *_OFF_BY_A_BIT):
            radius = int(4 * sigma + 0.5)
            true = [float(mpmath.exp(mpmath.mpf(-0.5 / (sigma * sigma) * step**2))) for step in range(radius + 1)]
            off = [_OFF_BY_A_BIT.get(sigma, {}).get(step, 0) for step in range(radius + 1)]
            side = np.array([value + places * np.spacing(value) for value, places in zip(true, off, strict=True)])
            weights = np.concatenate([side[:0:-1], side])
            assert np.array_equal(gaussian_weights(sigma, radius), weights / weights.sum())
