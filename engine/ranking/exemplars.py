"""Exemplars: the images that stand for a whole set, where clean and noisy images do not pair up."""

from __future__ import annotations

from hashlib import sha256

import torch

from engine.data.scratch import scratch
from engine.errors import InputError, unknown_name
from engine.ranking.euclidean import euclidean_distances, euclidean_medoid, rows_at_once
from engine.ranking.medoids import k_medoids
from engine.seeds import generator

METRICS = ("euclidean", "hamming")
MAX_CLUSTERED = 4096  # points that several exemplars are searched among: a matrix of 4,096² distances takes 128 MiB


def find_exemplar(
    features: torch.Tensor,
    metric: str = "euclidean",
    n_exemplars: int = 1,
    seed: int = 0,
    *,
    package: str | None = None,
) -> torch.Tensor:
    """Return the indices of the exemplars (medoids) of a set, ``(n_exemplars,)`` int64, ascending, all different.

    One exemplar is the point with the smallest sum of distances to all others, exactly; of equal ones the first. It
    needs memory for the features and a block of distances, however many points there are. Several are those of
    k-medoids (PAM with its BUILD start, which draws nothing); from more than ``MAX_CLUSTERED`` points as many are drawn
    with ``seed``, and the exemplars are searched among these. Of equal points the first stands for all; where there are
    fewer different ones than exemplars, further equal points fill up the number.

    Source: Bianchi et al. 2019, sections 3.4 and 4.4.

    Args:
        features: ``(n, d)``: an image's pixels, or its feature maps in one line; any real type.
        metric: "euclidean", or "hamming" on ``features > 0``.
        n_exemplars: 1…n.
        seed: of the draw among more than ``MAX_CLUSTERED`` points.
        package: which package finds several: "scikit-learn-extra" or "kmedoids", which do not always agree; None for
            the first that is installed.

    Raises:
        InputError: features that are not ``(n, d)``, an empty set, values that are not finite, an unknown metric, more
            exemplars than points, or no package to find several.
    """
    points = torch.as_tensor(features).detach()
    if points.dtype == torch.bool:
        points = points.to(torch.uint8)
    if points.ndim != 2:
        raise InputError(f"features must be (images, features), got shape {tuple(points.shape)}; flatten them first")
    if points.numel() == 0:
        raise InputError(f"no features to find an exemplar among: the shape is {tuple(points.shape)}")
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    if not 1 <= n_exemplars <= len(points):
        raise InputError(f"`n_exemplars` must be from 1 to the number of images, {len(points)}, got {n_exemplars}")
    if points.is_floating_point() and not _are_finite(points):
        raise InputError("features hold NaN or infinite values")
    if n_exemplars > 1:
        return _several(points, metric, n_exemplars, seed, package)
    return torch.tensor([_hamming_medoid(points) if metric == "hamming" else euclidean_medoid(points)])


def _are_finite(points: torch.Tensor) -> bool:
    return bool(torch.stack([torch.isfinite(block).all() for block in points.split(rows_at_once(points))]).all())


def _hamming_medoid(points: torch.Tensor) -> int:
    """Return the medoid's index: a sum of Hamming distances needs the number of ones of each column only."""
    blocks = points.split(rows_at_once(points))
    ones = sum((block > 0).sum(dim=0) for block in blocks)
    extra_for_a_one = (
        len(points) - 2 * ones
    ).double()  # over a zero's: it differs from the zeros, a zero from the ones
    sums = torch.cat([(block > 0).double() @ extra_for_a_one for block in blocks])
    return int((sums == sums.min()).nonzero()[0])


def _several(points: torch.Tensor, metric: str, n_exemplars: int, seed: int, package: str | None) -> torch.Tensor:
    drawn, chosen = torch.arange(len(points)), points
    if len(points) > MAX_CLUSTERED:
        if n_exemplars > MAX_CLUSTERED:
            raise InputError(f"`n_exemplars` must be at most {MAX_CLUSTERED}, got {n_exemplars}")
        drawn = torch.randperm(len(points), generator=generator(seed, "exemplars"))[:MAX_CLUSTERED].sort().values
        chosen = scratch((len(drawn), points.shape[1]), points.dtype, points.device)
        torch.index_select(points, 0, drawn.to(points.device), out=chosen)
    if metric == "hamming":
        chosen = _positive(chosen)
    distances = euclidean_distances(chosen)
    if metric == "hamming":
        distances = distances.square_().round_()  # ones and zeros: the squared Euclidean distance counts what differs
    first = _first_of_equals(chosen)
    apart = distances.cpu()[first][:, first].masked_fill_(first[:, None] == first, 0)  # rounding parts no equal points
    return drawn[torch.from_numpy(k_medoids(apart.numpy(), n_exemplars, package=package))]


def _first_of_equals(points: torch.Tensor) -> torch.Tensor:
    """Return the index of the first point that equals each, ``(n,)`` int64."""
    seen: dict[bytes, int] = {}
    found: list[int] = []
    for block in points.split(rows_at_once(points)):
        lines = block.cpu()
        if lines.is_floating_point():
            lines = lines.to(torch.promote_types(lines.dtype, torch.float32)) + 0  # −0 becomes 0
        for line in lines.numpy():
            found.append(seen.setdefault(sha256(line.tobytes()).digest(), len(found)))
    return torch.tensor(found)


def _positive(points: torch.Tensor) -> torch.Tensor:
    """Return where points are above 0, bool ``(n, d)``."""
    found = scratch(points.shape, torch.bool, points.device)
    return torch.gt(points, 0, out=found)
