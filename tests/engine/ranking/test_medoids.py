import sys

import numpy as np
import pytest

from engine.errors import InputError
from engine.ranking import medoids


@pytest.fixture
def distances() -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(60, 3))
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_k_medoids_cannot_be_improved_by_a_single_swap(distances):
    found = medoids.k_medoids(distances, 3)
    cost = distances[:, found].min(axis=1).sum()
    for place in range(3):
        for other in range(60):
            swapped = found.copy()
            swapped[place] = other
            assert distances[:, swapped].min(axis=1).sum() >= cost - 1e-9


def test_k_medoids_of_both_packages_are_the_same(distances):
    pytest.importorskip("sklearn_extra")
    pytest.importorskip("kmedoids")
    by_either = medoids.k_medoids(distances, 4), medoids._by_kmedoids(distances, 4)
    assert set(by_either[0]) == set(by_either[1])


def test_k_medoids_says_what_to_install(distances, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn_extra.cluster", None)
    monkeypatch.setitem(sys.modules, "kmedoids", None)
    with pytest.raises(InputError, match="install scikit-learn-extra"):
        medoids.k_medoids(distances, 2)
