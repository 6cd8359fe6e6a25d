"""k-medoids by whichever of two packages is installed; nothing else knows how they are called.

The packages do not always find the same medoids: they walk through ties in different orders, and end in other local
optima now and then. So whoever keeps results notes which package they are from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.errors import InputError, unknown_name
from engine.ranking.packages import why_not


def k_medoids(distances: np.ndarray, n_medoids: int, *, package: str | None = None) -> np.ndarray:
    """Return the indices of the medoids of PAM with its BUILD start, ``(n_medoids,)`` int64, ascending, all different.

    Of points in one place the first stands for all. Where there are fewer places than medoids, more points of these
    places fill up the number, by their order.

    Args:
        distances: ``(n, n)`` float64, symmetric, exactly 0 between points in one place.
        n_medoids: 2…n.
        package: "scikit-learn-extra" or "kmedoids"; None for ``k_medoids_package()``.

    Raises:
        InputError: an unknown package, or one that cannot be imported.
    """
    package = k_medoids_package() if package is None else package
    if package not in _PACKAGES:
        raise unknown_name("k-medoids package", package, _PACKAGES)
    module, load, find = _PACKAGES[package]
    try:
        tool = load()
    except Exception as error:  # a broken installation raises as it likes
        raise InputError(f"the k-medoids package {package} {why_not(module, error)}") from error
    return _completed(distances, find(tool, distances, n_medoids), n_medoids)


def k_medoids_package() -> str:
    """Return the name of the package that ``k_medoids`` uses: the first of the two that can be imported.

    Raises:
        InputError: neither can be.
    """
    reasons = []
    for package, (module, load, _) in _PACKAGES.items():
        try:
            load()
        except Exception as error:  # a broken installation raises as it likes
            reasons.append(f"{package} {why_not(module, error)}")
        else:
            return package
    raise InputError(
        "more than one exemplar needs a k-medoids package: install scikit-learn-extra (Python < 3.12) or kmedoids; "
        + ", ".join(reasons)
    )


def _completed(distances: np.ndarray, found: np.ndarray, n_medoids: int) -> np.ndarray:
    """Return the found medoids, the first of each place, and what lowers the cost most until there are enough."""
    chosen = sorted({int((distances[medoid] == 0).argmax()) for medoid in found})
    while len(chosen) < n_medoids:
        nearest = distances[:, chosen].min(axis=1)
        cost = np.minimum(nearest[:, None], distances).sum(axis=0)
        cost[chosen] = np.inf
        chosen.append(int(cost.argmin()))
    return np.sort(np.array(chosen, dtype=np.int64))


def _load_sklearn_extra() -> Any:
    from sklearn_extra.cluster import KMedoids

    return KMedoids


def _by_sklearn_extra(tool: Any, distances: np.ndarray, n_medoids: int) -> np.ndarray:
    return tool(n_medoids, metric="precomputed", method="pam", init="build").fit(distances).medoid_indices_


def _load_kmedoids() -> Any:
    from kmedoids import pam

    return pam


def _by_kmedoids(tool: Any, distances: np.ndarray, n_medoids: int) -> np.ndarray:
    return tool(distances, n_medoids, init="build").medoids


_PACKAGES: dict[str, tuple[str, Callable[[], Any], Callable[[Any, np.ndarray, int], np.ndarray]]] = {
    "scikit-learn-extra": ("sklearn_extra", _load_sklearn_extra, _by_sklearn_extra),
    "kmedoids": ("kmedoids", _load_kmedoids, _by_kmedoids),
}
"""{package: (its module, what imports its algorithm, what runs that)}, in the order of preference."""
