"""k-medoids by whichever of two packages is installed; nothing else knows which."""

from __future__ import annotations

import numpy as np

from engine.errors import InputError


def k_medoids(distances: np.ndarray, n_medoids: int) -> np.ndarray:
    """Return the indices of the medoids of PAM with its BUILD start, ``(n_medoids,)`` int64.

    Args:
        distances: ``(n, n)`` float64, symmetric.
        n_medoids: 2…n.

    Raises:
        InputError: neither scikit-learn-extra nor kmedoids is installed.
    """
    try:
        from sklearn_extra.cluster import KMedoids
    except ImportError:
        return _by_kmedoids(distances, n_medoids)
    found = KMedoids(n_medoids, metric="precomputed", method="pam", init="build").fit(distances)
    return np.asarray(found.medoid_indices_, dtype=np.int64)


def _by_kmedoids(distances: np.ndarray, n_medoids: int) -> np.ndarray:
    try:
        import kmedoids
    except ImportError:
        raise InputError(
            "more than one exemplar needs a k-medoids package: install scikit-learn-extra (Python < 3.12) or kmedoids"
        ) from None
    return np.asarray(kmedoids.pam(distances, n_medoids, init="build").medoids, dtype=np.int64)
