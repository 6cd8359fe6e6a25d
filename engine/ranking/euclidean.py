"""The medoid of many points under Euclidean distances, exactly, without all of their distances."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

KEPT_DIRECTIONS = 64
_SAMPLE = 1024  # points that the main directions are taken from
_CANDIDATES = 512  # points whose sums are computed before the bounds are looked at again
_VALUES_AT_ONCE = 2**25  # of long points; each takes eight bytes, and their differences from the mean as many again
_ROUNDING = 1e-5  # relative, of float32 sums, with a margin


def euclidean_medoid(points: torch.Tensor) -> int:
    """Return the index of the point with the smallest sum of distances to all, exactly; of equal ones the first.

    Candidates come from sums in float32, and the near-best of them are computed again in float64. That shows how far
    off float32 was: where it was farther than "near" allows, as with a tight cluster and far outliers, near is widened.
    There is never more in memory than the points and some blocks.

    Args:
        points: ``(n, d)``, finite, of any real type but bool.
    """
    if all(bool((block == points[0]).all()) for block in points.split(rows_at_once(points))):
        return 0
    centre = _mean_of(points).double()
    near = _ROUNDING
    while True:
        with _full_products():
            sums = _sums_of_candidates(points, near)
        candidates = _near_best(sums, near)
        blocks = candidates.split(_at_once(points, _CANDIDATES))
        exact = torch.cat([_sums_to_all(points, block, centre) for block in blocks])
        off = float((exact - sums[candidates]).abs().max() / exact.min().clamp_min(1e-300))
        if 2 * off <= near or len(candidates) == len(points):
            return int(candidates[_near_best(exact, 1e-12)[0]])
        near = 4 * off


def _sums_of_candidates(points: torch.Tensor, near: float) -> torch.Tensor:
    """Return the float32 sums of the points that may be near the best, infinite for the others."""
    if points.shape[1] > 2 * KEPT_DIRECTIONS and len(points) > _SAMPLE:
        sums = sums_by_bounds(points, near)
        if sums is not None:
            return sums
    return summed_distances(points)


def euclidean_distances(points: torch.Tensor) -> torch.Tensor:
    """Return all distances between the points, ``(n, n)`` float64."""
    blocks = points.split(_at_once(points, len(points)))
    if len(blocks) == 1:
        moved, squared = _centred(points.double(), points.double().mean(dim=0))
        return _apart(moved, squared, moved, squared).fill_diagonal_(0)
    mean = torch.stack([block.double().sum(dim=0) for block in blocks]).sum(dim=0) / len(points)
    rows = []
    for block in blocks:
        here = _centred(block.double(), mean)
        rows.append(torch.cat([_apart(*here, *_centred(other.double(), mean)) for other in blocks], dim=1))
    return torch.cat(rows).fill_diagonal_(0)


def _near_best(sums: torch.Tensor, near: float) -> torch.Tensor:
    """Return the indices, ascending, of the sums that exceed the smallest by no more than a share ``near`` of it."""
    return (sums <= sums.min() * (1 + near)).nonzero().flatten()


def sums_by_bounds(points: torch.Tensor, near: float = _ROUNDING) -> torch.Tensor | None:
    """Return the sums of those points only whose lower bound lets them be near the best, infinite for the others.

    A point shortened to its coordinates in an orthonormal basis of a subspace and the length of the rest is nowhere
    farther from another than in full: the rests are apart by at least the difference of their lengths. So sums of
    shortened distances are lower bounds, and close ones where few directions hold most of the variance, as in images.
    None is returned where they are not, and computing all sums is quicker.
    """
    centre = _mean_of(points)
    bounds = summed_distances(_shortened(points, centre))
    order = bounds.argsort()
    sums = torch.full_like(bounds, torch.inf)
    for block in order.split(_at_once(points, _CANDIDATES)):
        limit = sums.min() * (1 + near)
        if bounds[block[0]] > limit:
            break
        if torch.isfinite(limit) and (bounds <= limit).double().mean() > 0.3:
            return None
        sums[block] = _sums_to_all(points, block, centre)
    return sums


def _shortened(points: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return ``(n, kept + 1)`` float32: coordinates along the main directions of a sample, and what is left over."""
    sample, _ = _centred(points[:: -(-len(points) // _at_once(points, _SAMPLE))], centre)
    weights = torch.linalg.eigh(sample @ sample.T).eigenvectors[:, -KEPT_DIRECTIONS:]
    basis = torch.linalg.qr(sample.T @ weights).Q
    short = []
    for block in points.split(rows_at_once(points)):
        moved, squared = _centred(block, centre)
        along = moved @ basis
        rest = (squared - along.square().sum(dim=1)).clamp_min_(0).sqrt_()
        short.append(torch.cat([along, rest[:, None]], dim=1))
    return torch.cat(short)


def _sums_to_all(points: torch.Tensor, chosen: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return the chosen points' sums of distances to all, float64, as exact as the centre's type."""
    here, here_squared = _centred(points[chosen], centre)
    sums = torch.zeros(len(chosen), dtype=torch.float64, device=points.device)
    for block in points.split(rows_at_once(points)):
        sums += _apart(here, here_squared, *_centred(block, centre)).sum(dim=1)
    return sums


def summed_distances(points: torch.Tensor) -> torch.Tensor:
    """Return each point's sum of distances to all, ``(n,)`` float64, about 1e-6 exact, by blocks above the diagonal."""
    rows = rows_at_once(points)
    blocks, sums = points.split(rows), torch.zeros(len(points), dtype=torch.float64, device=points.device).split(rows)
    centre = _mean_of(points)
    for i, block in enumerate(blocks):
        here, here_squared = _centred(block, centre)
        for j in range(i, len(blocks)):
            apart = _apart(here, here_squared, *_centred(blocks[j], centre))
            sums[i].add_(apart.sum(dim=1))
            if j > i:
                sums[j].add_(apart.sum(dim=0))
    return torch.cat(sums)


def _mean_of(points: torch.Tensor) -> torch.Tensor:
    """Return the mean, ``(d,)`` float32."""
    blocks = points.split(rows_at_once(points))
    return (torch.stack([block.double().sum(dim=0) for block in blocks]).sum(dim=0) / len(points)).float()


def _centred(block: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points less the centre, and their squared lengths, in the centre's type.

    With the mean taken off, squared lengths and products are of the size of the distances, so that float32 loses
    nothing that matters in their difference.
    """
    moved = (block - centre).to(centre.dtype)
    return moved, moved.square().sum(dim=1)


def _apart(
    here: torch.Tensor, here_squared: torch.Tensor, there: torch.Tensor, there_squared: torch.Tensor
) -> torch.Tensor:
    apart = torch.addmm(here_squared[:, None] + there_squared, here, there.T, alpha=-2)
    return apart.clamp_min_(0).sqrt_()


def rows_at_once(points: torch.Tensor) -> int:
    """Return how many points make a block: at most 512, fewer where they are long."""
    return max(1, min(512, 2**24 // points.shape[1]))


def _at_once(points: torch.Tensor, usual: int) -> int:
    """Return how many points are computed with together: fewer than usual where they are long."""
    return max(KEPT_DIRECTIONS, min(usual, _VALUES_AT_ONCE // points.shape[1]))


@contextmanager
def _full_products() -> Iterator[None]:
    """Have float32 matrix products computed in float32, whatever quicker format a program has set for them."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
