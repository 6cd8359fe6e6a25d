"""Earth mover's distances between activation maps as piles of earth on the grid of pixels.

A pixel holds as much earth as its value is above zero; what is below zero counts as no earth, as after a ReLU. A map is
then brought to unit mass, and one without any earth stands for earth spread evenly: it says nothing about where. Hence
two empty maps are at distance 0, an empty and a constant one too, and an empty map is compared like any other. Lengths
are in pixels, neighbours being 1 apart.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from engine.errors import InputError
from engine.ranking.distances import register_distance, require_pixels
from engine.ranking.packages import why_not

_NOTHING = 1e-12  # a share of the mass below this is rounding
_WORTH_THREADS = 144  # pixels: on smaller maps Python's part of the work, which threads cannot share, is the larger one


def earth(maps: torch.Tensor) -> torch.Tensor:
    """Return what is above zero of maps ``(n, f, h, w)``, one line each: ``(n, f, h·w)`` float64."""
    return maps.flatten(2).double().clamp_min(0)


def unit_mass(maps: torch.Tensor) -> torch.Tensor:
    """Return each pixel's share of the earth, ``(n, f, h·w)`` float64, summing to 1; the same for all where none is."""
    piled = earth(maps)
    piled = piled / piled.amax(dim=2, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)  # no sum overflows
    total = piled.sum(dim=2, keepdim=True)
    return torch.where(total > 0, piled / total.clamp_min(1), torch.full_like(piled, 1 / piled.shape[2]))


def pixel_positions(height: int, width: int) -> np.ndarray:
    """Return the rows and columns of a grid's pixels, ``(h·w, 2)`` float64, row by row."""
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2) * 1.0


@lru_cache(maxsize=8)
def ground_distances(height: int, width: int, order: int) -> np.ndarray:
    """Return the distances between all pixels of a grid, ``(h·w, h·w)`` float64: Manhattan (1) or Euclidean (2)."""
    positions = pixel_positions(height, width)
    apart = np.abs(positions[:, None] - positions[None])
    ground = apart.sum(axis=2) if order == 1 else np.hypot(apart[..., 0], apart[..., 1])
    ground.flags.writeable = False
    return ground


@register_distance("emd_spatial")
def emd_spatial(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Exact earth mover's distance of the unit-mass maps, Euclidean between pixels. In pixels; slow on large maps."""
    require_pixels(clean, "emd_spatial")
    return _exact(clean, noisy, order=2)


@register_distance("emd_spatial_manhattan")
def emd_spatial_manhattan(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Exact earth mover's distance of the unit-mass maps, Manhattan between pixels. In pixels; ≥ ``emd_spatial``."""
    require_pixels(clean, "emd_spatial_manhattan")
    return _exact(clean, noisy, order=1)


@register_distance("emd_spatial_mass")
def emd_spatial_mass(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """``emd_spatial`` times the mean of the two maps' earth per pixel. In pixels × activation.

    Unit mass makes a faint map as heavy as a bright one; this gives each its weight back. Still a map that is only
    brightened is at distance 0 from itself.
    """
    require_pixels(clean, "emd_spatial_mass")
    per_pixel = (earth(clean).mean(dim=2) + earth(noisy).mean(dim=2)) / 2
    return _exact(clean, noisy, order=2).to(per_pixel.device) * per_pixel


def _exact(clean: torch.Tensor, noisy: torch.Tensor, *, order: int) -> torch.Tensor:
    """Return the exact costs of all pairs, on as many threads as torch may use: POT lets go of Python's lock."""
    ground = ground_distances(clean.shape[2], clean.shape[3], order)
    surplus = (unit_mass(clean) - unit_mass(noisy)).flatten(0, 1).cpu().numpy()
    found = np.empty(len(surplus))
    todo = iter(range(len(surplus)))  # of all threads, each taking the next pair when it is done with one

    def solve() -> None:
        for pair in todo:
            found[pair] = _cost_of_moving(surplus[pair], ground)

    _pot()  # imported, or refused, before any thread is
    n_threads = min(torch.get_num_threads(), len(surplus)) if len(ground) >= _WORTH_THREADS else 1
    if n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            for solved in [pool.submit(solve) for _ in range(n_threads)]:
                solved.result()
    else:
        solve()
    return torch.from_numpy(found).reshape(clean.shape[:2]).to(clean.device)


def _cost_of_moving(surplus: np.ndarray, ground: np.ndarray) -> float:
    """Return the least cost of levelling a surplus (one map less the other, ``(h·w,)``, sum 0).

    By the triangle inequality, earth that both maps have at a pixel may stay there. So each pixel either gives or
    takes, and the problem has at most a quarter of the routes of the one between whole maps.
    """
    gives, takes = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
    given, taken = surplus[gives], -surplus[takes]
    moved = given.sum()
    if moved < _NOTHING:
        return 0.0
    cost, log = _pot().emd2(
        given / moved,
        taken / taken.sum(),
        ground.take(gives, axis=0).take(takes, axis=1),
        numItermax=10_000_000,
        log=True,
        center_dual=False,
        check_marginals=False,
    )
    if log["warning"] is not None:
        raise RuntimeError(f"the exact earth mover's distance was not found: {log['warning']}")
    return float(cost) * float(moved)


def _pot() -> Any:
    """Return POT, imported when it is first needed: that takes seconds where it finds other frameworks.

    Raises:
        InputError: it is not installed, or its installation is broken.
    """
    try:
        import ot

        ot.emd2  # noqa: B018  # another module of this name has none
    except Exception as error:  # a broken installation raises as it likes
        raise InputError(
            "exact spatial distances need the package POT: install pot, or use 'sliced_emd' or 'sinkhorn'; "
            f"it {why_not('ot', error)}"
        ) from error
    return ot
