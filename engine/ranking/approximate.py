"""Stand-ins for the spatial earth mover's distance, for all pairs of maps at once and on the maps' own device."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch

from engine.ranking.distances import register_distance, require_pixels
from engine.ranking.spatial import ground_distances, pixel_positions, unit_mass

N_DIRECTIONS = 16
BLUR = 0.05  # of the grid's diagonal: the Sinkhorn divergence's regularisation
MAX_ROUNDS = 1000
TOLERANCE = 1e-4  # of the mass, misplaced
_PAIRS_AT_ONCE = 4096
_ROUNDS_AT_A_TIME = 16
"""On a GPU, before the host waits to hear whether all pairs are done."""

Scalings = tuple[torch.Tensor, ...]


@register_distance("sliced_emd")
def sliced_emd(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Sliced earth mover's distance of the unit-mass maps: the mean over 16 directions, evenly over a half turn.

    The earth is projected on a line in each direction, where the distance is the area between the two cumulated masses.
    In pixels; a lower bound of ``emd_spatial``, 2/π of it where everything moves the same way.
    """
    require_pixels(clean, "sliced_emd")
    surplus = (unit_mass(clean) - unit_mass(noisy)).flatten(0, 1)
    total = surplus.new_zeros(len(surplus))
    for order, steps in _projections(clean.shape[2], clean.shape[3], surplus.device):
        total += surplus[:, order].cumsum(dim=1).abs_() @ steps
    return (total / N_DIRECTIONS).reshape(clean.shape[:2])


@lru_cache(maxsize=32)
def _projections(height: int, width: int, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return, for each direction, all pixels but the last in their order along it, and the steps between them."""
    positions = torch.from_numpy(pixel_positions(height, width))
    found = []
    for k in range(N_DIRECTIONS):
        angle = math.pi * k / N_DIRECTIONS
        along, order = (positions @ positions.new_tensor([math.sin(angle), math.cos(angle)])).sort()
        found.append((order[:-1].to(device), along.diff().to(device)))
    return found


@register_distance("sinkhorn")
def sinkhorn(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Sinkhorn divergence of the unit-mass maps, Euclidean between pixels, blur 5 % of the grid's diagonal. In pixels.

    OT(a, b) − ½ OT(a, a) − ½ OT(b, b), OT being the optimal transport's cost with its entropic term (Feydy et al.
    2019): unlike OT it is 0 for identical maps. It comes near ``emd_spatial`` for moves that are long against the blur,
    and is much smaller for shorter ones. On CPUs it takes as long as the exact distance, or longer.
    """
    require_pixels(clean, "sinkhorn")
    blur, kernel = _kernel(clean.shape[2], clean.shape[3], clean.device)
    a, b = unit_mass(clean).flatten(0, 1), unit_mass(noisy).flatten(0, 1)
    parts = [
        _entropic_cost(x, y, kernel, blur) - _self_cost(x, kernel, blur) / 2 - _self_cost(y, kernel, blur) / 2
        for x, y in zip(a.split(_PAIRS_AT_ONCE), b.split(_PAIRS_AT_ONCE), strict=True)
    ]
    identical = (a == b).all(dim=1)
    return torch.cat(parts).clamp_min(0).masked_fill(identical, 0).reshape(clean.shape[:2])


@lru_cache(maxsize=8)
def _kernel(height: int, width: int, device: torch.device) -> tuple[float, torch.Tensor]:
    """Return the blur in pixels, and how near all pixels of a grid are to each other under it, ``(h·w, h·w)``."""
    ground = torch.from_numpy(ground_distances(height, width, 2).copy())
    blur = BLUR * float(ground.max())
    return blur, torch.exp(-ground.to(device) / blur)


def _entropic_cost(a: torch.Tensor, b: torch.Tensor, kernel: torch.Tensor, blur: float) -> torch.Tensor:
    """Return OT(a, b) of each row, ``(m,)``, by scaling rows and columns in turn until the masses fit.

    A row that fits is done, so that what it gives does not depend on the others, and the slowest have the time.
    """
    if a.device.type != "cpu":

        def step(scalings: Scalings) -> tuple[Scalings, torch.Tensor]:
            u = a / (scalings[1] @ kernel)
            spread = u @ kernel
            return (u, b / spread), (scalings[1] * spread - b).abs().sum(dim=1)

        u, v = _first_that_fit(step, (torch.ones_like(a), torch.ones_like(b)))
        return blur * (_mean_log(a, u) + _mean_log(b, v))
    costs = a.new_empty(len(a))
    rows, v = torch.arange(len(a), device=a.device), torch.ones_like(b)
    for remaining in reversed(range(MAX_ROUNDS)):
        u = a / (v @ kernel)
        spread = u @ kernel
        missed = (v * spread - b).abs().sum(dim=1)
        v = b / spread
        fits = missed < TOLERANCE if remaining else torch.ones_like(missed, dtype=torch.bool)
        if fits.any():
            costs[rows[fits]] = blur * (_mean_log(a[fits], u[fits]) + _mean_log(b[fits], v[fits]))
            a, b, v, rows = (of[~fits] for of in (a, b, v, rows))
        if not len(rows):
            break
    return costs


def _self_cost(a: torch.Tensor, kernel: torch.Tensor, blur: float) -> torch.Tensor:
    """Return OT(a, a) of each row, ``(m,)``: both scalings are one, found by averaging steps in the logarithm."""
    if a.device.type != "cpu":

        def step(scalings: Scalings) -> tuple[Scalings, torch.Tensor]:
            spread = scalings[0] @ kernel
            return ((scalings[0] * a / spread).sqrt_(),), (scalings[0] * spread - a).abs().sum(dim=1)

        (u,) = _first_that_fit(step, (torch.ones_like(a),))
        return 2 * blur * _mean_log(a, u)
    costs = a.new_empty(len(a))
    rows, u = torch.arange(len(a), device=a.device), torch.ones_like(a)
    for remaining in reversed(range(MAX_ROUNDS)):
        spread = u @ kernel
        missed = (u * spread - a).abs().sum(dim=1)
        u = (u * a / spread).sqrt_()
        fits = missed < TOLERANCE if remaining else torch.ones_like(missed, dtype=torch.bool)
        if fits.any():
            costs[rows[fits]] = 2 * blur * _mean_log(a[fits], u[fits])
            a, u, rows = (of[~fits] for of in (a, u, rows))
        if not len(rows):
            break
    return costs


def _first_that_fit(step: Callable[[Scalings], tuple[Scalings, torch.Tensor]], scalings: Scalings) -> Scalings:
    """Return each row's scalings from the first round after which its masses fit, or the last.

    For GPUs: rows that are done go on among the others, and the host seldom asks whether any is left.

    Args:
        step: takes scalings a round further, and says by how much the masses of each row missed before it.
        scalings: to begin with.
    """
    kept, done = scalings, torch.zeros(len(scalings[0]), 1, dtype=torch.bool, device=scalings[0].device)
    for number in range(1, MAX_ROUNDS + 1):
        scalings, missed = step(scalings)
        kept = tuple(torch.where(done, old, new) for old, new in zip(kept, scalings, strict=True))
        done = done | (missed < TOLERANCE)[:, None]
        if number % _ROUNDS_AT_A_TIME == 0 and bool(done.all()):
            break
    return kept


def _mean_log(mass: torch.Tensor, scaling: torch.Tensor) -> torch.Tensor:
    """Return the sum of mass × log scaling, pixels without mass counting nothing."""
    return torch.where(mass > 0, mass * scaling.clamp_min(torch.finfo(mass.dtype).tiny).log(), 0).sum(dim=1)
