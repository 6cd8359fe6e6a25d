"""The random draws of one corruption: a method a distribution, a key a purpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from engine.corruptions.counter import random_words, words_to_normal, words_to_uniform
from engine.corruptions.exact import poisson_masses
from engine.errors import InputError
from engine.seeds import derive_seed

_GUIDE_BITS = 10


class Draws:
    """Draws for the images of a batch: image i's depend on the seed, the purposes and its index alone.

    Corruptions ask for their draws in the order in which the benchmark's own code makes them.

    Args:
        seed: the seed that all draws come from.
        purpose: what they are for ("corruption", name, severity).
        indices: int64 (n,), the images' indices in their data set; draws lie on their device.
    """

    def __init__(self, seed: int, purpose: Sequence[object], indices: torch.Tensor) -> None:
        self._seed = seed
        self._purpose = tuple(purpose)
        self._indices = indices
        self.device = indices.device

    def _words(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        key = derive_seed(self._seed, *self._purpose, purpose)
        return random_words(key, self._indices, math.prod(shape)).reshape(len(self._indices), *shape)

    def uniform(self, purpose: str, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Return float64 (n, *shape), uniform in (low, high)."""
        return words_to_uniform(self._words(purpose, shape)).mul_(high - low).add_(low)

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        """Return float64 (n, *shape), standard normal."""
        return words_to_normal(self._words(purpose, shape))

    def integers(self, purpose: str, low: int, high: int, shape: Sequence[int]) -> torch.Tensor:
        """Return int64 (n, *shape), uniform in [low, high), for spans up to 2**31 (bias below span / 2**32)."""
        return _scaled(self._words(purpose, shape), high - low).add_(low)

    def integers_below(self, purpose: str, limits: torch.Tensor) -> torch.Tensor:
        """Return int64 (n,): for each image one of 0 … limit − 1, limits int64 (n,) in [1, 2**31)."""
        return _scaled(self._words(purpose, ()), limits)

    def poisson(self, purpose: str, images: torch.Tensor, photons: float) -> torch.Tensor:
        """Return int64 counts of the images' shape, each Poisson with mean photons·value/255.

        Exact inversion of the distribution function: an image has 256 values, so there are 256 functions to tabulate.

        Args:
            purpose: what the draws are for.
            images: uint8 (n, c, h, w).
            photons: the mean count at the value 255, > 0.
        """
        cumulative, guide, n_counts = _poisson_tables(float(photons), images.device)
        values = images.long()
        words = self._words(purpose, images.shape[1:])
        wanted = words_to_uniform(words).add_(values)
        if images.device.type != "cpu":  # there a search is quick, and to ask where one is needed is not
            found = torch.searchsorted(cumulative, wanted.flatten())
            return found.reshape(images.shape).sub_(values.mul_(n_counts))
        # The guide is right where no count's boundary lies between the word and its highest bits; the rest is searched.
        part = (words >> (32 - _GUIDE_BITS)).add_(1 << (_GUIDE_BITS - 1))
        found = guide.index_select(0, (values << _GUIDE_BITS).add_(part).flatten())
        rest = (cumulative.index_select(0, found) < wanted.flatten()).nonzero().squeeze(1)
        found[rest] = torch.searchsorted(cumulative, wanted.flatten()[rest])
        return found.reshape(images.shape).sub_(values.mul_(n_counts))


def _scaled(words: torch.Tensor, limits: torch.Tensor | int) -> torch.Tensor:
    """Return words as int64 in [0, limit)."""
    return words.long().add_(1 << 31).mul_(limits) >> 32


@lru_cache(maxsize=32)
def _poisson_tables(photons: float, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the distribution functions of all byte values in one table, a guide to it, and the counts k tabulated.

    Returns:
        value + P(count ≤ j | value), ascending, float64 (256·k,); for each value and each of 2**10 parts of (0, 1) the
        place in that table where a search for the part's beginning ends, int64 (256·2**10,); k.
    """
    if not photons > 0:
        raise InputError(f"photons at full scale must be > 0, got {photons:g}")
    n_counts = int(photons + 12 * math.sqrt(photons) + 32)
    masses = poisson_masses(np.arange(256) * photons / 255, n_counts)
    cumulative = np.minimum(np.cumsum(masses, axis=1), 1.0)
    cumulative[:, -1] = 1.0
    table = (cumulative + np.arange(256)[:, None]).ravel()
    guide = np.searchsorted(table, np.arange(256 << _GUIDE_BITS) / (1 << _GUIDE_BITS))
    return torch.from_numpy(table).to(device), torch.from_numpy(guide).to(device), n_counts
