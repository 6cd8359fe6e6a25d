"""Exemplars: the images that stand for a whole set, where clean and noisy images do not pair up."""

from __future__ import annotations

import torch

from engine.errors import InputError, unknown_name
from engine.ranking.medoids import k_medoids
from engine.seeds import generator

METRICS = ("euclidean", "hamming")
KEPT_DIRECTIONS = 64
MAX_CLUSTERED = 4096  # points that several exemplars are searched among: a matrix of 4,096² distances takes 128 MiB
_SAMPLE = 1024  # points that the main directions are taken from
_CANDIDATES = 512  # points whose sums are computed before the bounds are looked at again
_ROUNDING = 1e-5  # relative, of float32 sums, with a margin


def find_exemplar(
    features: torch.Tensor, metric: str = "euclidean", n_exemplars: int = 1, seed: int = 0
) -> torch.Tensor:
    """Return the indices of the exemplars (medoids) of a set, ``(n_exemplars,)`` int64, ascending.

    One exemplar is the point with the smallest sum of distances to all others, exactly; of equal ones the first. It
    needs memory for the features and a block of distances, however many points there are. Several are those of
    k-medoids (PAM with its BUILD start, which draws nothing); from more than ``MAX_CLUSTERED`` points as many are drawn
    with ``seed``, and the exemplars are searched among these.

    Source: Bianchi et al. 2019, sections 3.4 and 4.4.

    Args:
        features: ``(n, d)``: an image's pixels, or its feature maps in one line; any real type.
        metric: "euclidean", or "hamming" on ``features > 0``.
        n_exemplars: 1…n.
        seed: of the draw among more than ``MAX_CLUSTERED`` points.

    Raises:
        InputError: features that are not ``(n, d)``, an empty set, values that are not finite, an unknown metric, or
            more exemplars than points.
    """
    points = torch.as_tensor(features).detach()
    if points.ndim != 2:
        raise InputError(f"features must be (images, features), got shape {tuple(points.shape)}; flatten them first")
    if points.numel() == 0:
        raise InputError(f"no features to find an exemplar among: the shape is {tuple(points.shape)}")
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    if not 1 <= n_exemplars <= len(points):
        raise InputError(f"`n_exemplars` must be from 1 to the number of images, {len(points)}, got {n_exemplars}")
    if points.is_floating_point() and not torch.isfinite(points).all():
        raise InputError("features hold NaN or infinite values")
    if n_exemplars > 1:
        return _several(points, metric, n_exemplars, seed)
    return (_hamming_medoid(points) if metric == "hamming" else _euclidean_medoid(points)).reshape(1).cpu()


def _hamming_medoid(points: torch.Tensor) -> torch.Tensor:
    """Return the medoid's index: a sum of Hamming distances needs the number of ones of each column only."""
    blocks = points.split(_rows_at_once(points))
    ones = sum((block > 0).sum(dim=0) for block in blocks)
    more_for_a_one = (
        len(points) - 2 * ones
    ).double()  # a one differs from every zero of its column, a zero from every one
    return _first_smallest(torch.cat([(block > 0).double() @ more_for_a_one for block in blocks]))


def _euclidean_medoid(points: torch.Tensor) -> torch.Tensor:
    """Return the medoid's index: candidates by float32 sums, the near-best of them again in float64."""
    long_and_many = points.shape[1] > 2 * KEPT_DIRECTIONS and len(points) > _SAMPLE
    candidates = _by_bounds(points) if long_and_many else None
    if candidates is None:
        candidates = _near_best(_summed_distances(points))
    if len(candidates) == 1:
        return candidates[0]
    chosen = points[candidates].double()
    exact = torch.zeros(len(chosen), dtype=torch.float64, device=points.device)
    for block in points.split(_rows_at_once(points)):
        exact += torch.cdist(chosen, block.double(), compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1)
    return candidates[_first_smallest(exact)]


def _first_smallest(sums: torch.Tensor) -> torch.Tensor:
    return (sums == sums.min()).nonzero()[0, 0]


def _near_best(sums: torch.Tensor) -> torch.Tensor:
    """Return the indices, ascending, of the sums that float32 cannot tell from the smallest."""
    return (sums <= sums.min() * (1 + _ROUNDING)).nonzero().flatten()


def _by_bounds(points: torch.Tensor) -> torch.Tensor | None:
    """Return the candidates by computing the sums of those points only whose lower bound lets them win, or None.

    A point shortened to its coordinates in an orthonormal basis of a subspace and the length of the rest is nowhere
    farther from another than in full: the rests are apart by at least the difference of their lengths. So sums of
    shortened distances are lower bounds, and close ones where few directions hold most of the variance, as in images.
    None is returned where they are not, and computing all sums is quicker.
    """
    centre = _mean_of(points)
    bounds = _summed_distances(_shortened(points, centre))
    order = bounds.argsort()
    sums = torch.full_like(bounds, torch.inf)
    for block in order.split(_CANDIDATES):
        limit = sums.min() * (1 + _ROUNDING)
        if bounds[block[0]] > limit:
            break
        if torch.isfinite(limit) and (bounds <= limit).double().mean() > 0.3:
            return None
        sums[block] = _sums_to_all(points, block, centre)
    return _near_best(sums)


def _shortened(points: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return ``(n, kept + 1)`` float32: coordinates along the main directions of a sample, and what is left over."""
    sample = points[:: -(-len(points) // _SAMPLE)].float() - centre
    weights = torch.linalg.eigh(sample @ sample.T).eigenvectors[:, -KEPT_DIRECTIONS:]
    basis = torch.linalg.qr(sample.T @ weights).Q
    short = []
    for block in points.split(_rows_at_once(points)):
        moved, squared = _centred(block, centre)
        along = moved @ basis
        rest = (squared - along.square().sum(dim=1)).clamp_min_(0).sqrt_()
        short.append(torch.cat([along, rest[:, None]], dim=1))
    return torch.cat(short)


def _sums_to_all(points: torch.Tensor, chosen: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return the chosen points' sums of distances to all, float64, about 1e-6 exact."""
    here, here_squared = _centred(points[chosen], centre)
    sums = torch.zeros(len(chosen), dtype=torch.float64, device=points.device)
    for block in points.split(_rows_at_once(points)):
        sums += _apart(here, here_squared, *_centred(block, centre)).sum(dim=1, dtype=torch.float64)
    return sums


def _summed_distances(points: torch.Tensor) -> torch.Tensor:
    """Return each point's sum of distances to all, ``(n,)`` float64, about 1e-6 exact, by blocks above the diagonal."""
    rows = _rows_at_once(points)
    blocks, sums = points.split(rows), torch.zeros(len(points), dtype=torch.float64, device=points.device).split(rows)
    centre = _mean_of(points)
    for i, block in enumerate(blocks):
        here, here_squared = _centred(block, centre)
        for j in range(i, len(blocks)):
            apart = _apart(here, here_squared, *_centred(blocks[j], centre))
            sums[i].add_(apart.sum(dim=1, dtype=torch.float64))
            if j > i:
                sums[j].add_(apart.sum(dim=0, dtype=torch.float64))
    return torch.cat(sums)


def _mean_of(points: torch.Tensor) -> torch.Tensor:
    blocks = points.split(_rows_at_once(points))
    return (torch.stack([block.double().sum(dim=0) for block in blocks]).sum(dim=0) / len(points)).float()


def _centred(block: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points less the centre, and their squared lengths.

    With the mean taken off, squared lengths and products are of the size of the distances, so that float32 loses
    nothing that matters in their difference.
    """
    moved = block.float() - centre
    return moved, moved.square().sum(dim=1)


def _apart(
    here: torch.Tensor, here_squared: torch.Tensor, there: torch.Tensor, there_squared: torch.Tensor
) -> torch.Tensor:
    apart = torch.addmm(here_squared[:, None] + there_squared, here, there.T, alpha=-2)
    return apart.clamp_min_(0).sqrt_()


def _rows_at_once(points: torch.Tensor) -> int:
    """Return how many points make a block: at most 2,048, fewer where they are long."""
    return max(1, min(2048, 2**24 // points.shape[1]))


def _several(points: torch.Tensor, metric: str, n_exemplars: int, seed: int) -> torch.Tensor:
    drawn = torch.arange(len(points))
    if len(points) > MAX_CLUSTERED:
        if n_exemplars > MAX_CLUSTERED:
            raise InputError(f"`n_exemplars` must be at most {MAX_CLUSTERED}, got {n_exemplars}")
        drawn = torch.randperm(len(points), generator=generator(seed, "exemplars"))[:MAX_CLUSTERED].sort().values
    chosen = points[drawn.to(points.device)]
    chosen = (chosen > 0).double() if metric == "hamming" else chosen.double()
    chosen = chosen - chosen.mean(dim=0)
    squared = chosen.square().sum(dim=1)
    distances = _apart(chosen, squared, chosen, squared).fill_diagonal_(0)
    if metric == "hamming":
        distances = distances.square_().round_()  # ones and zeros: the squared Euclidean distance counts what differs
    return drawn[torch.from_numpy(k_medoids(distances.cpu().numpy(), n_exemplars))].sort().values
