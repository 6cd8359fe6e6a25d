"""Two-level factorial designs, full and fractional: which combinations are run, and which effects they confuse.

A fraction of a design is made by setting some factors to the product of others (its generators): D = A·B runs half of
the combinations of A, B and D. Each product of factors that is the same in every run is a word of the defining
relation; an effect cannot be told from its products with these words, its aliases. The length of the shortest word is
the resolution: at III main effects are confused with interactions of two factors, at IV these with each other, at V
neither with either.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from engine.errors import InputError

MOST_FACTORS = 8
RESOLUTIONS = {3: "III", 4: "IV", 5: "V"}
"""{resolution that can be asked for: as it is written}."""

Word = frozenset[int]
"""A product of factors, by their numbers; a factor twice cancels out."""


@dataclass(frozen=True)
class Design:
    """Which combinations of two-level factors are run.

    Attributes:
        n_factors: number of factors.
        generators: {factor: the factors whose product it is}; empty for a full design.
    """

    n_factors: int
    generators: tuple[tuple[int, Word], ...] = ()

    @property
    def words(self) -> frozenset[Word]:
        """Return the defining relation without the empty word."""
        return _words(tuple(word ^ {factor} for factor, word in self.generators))

    @property
    def resolution(self) -> int | None:
        """Return the length of the shortest word; None for a full design."""
        return min(map(len, self.words), default=None)

    def runs(self) -> list[tuple[int, ...]]:
        """Return the combinations, −1 or +1 for each factor; the first one has all +1.

        Every factor is −1 in half of them, and so is every product of factors that is no word.
        """
        free = [factor for factor in range(self.n_factors) if factor not in dict(self.generators)]
        found = []
        for levels in itertools.product((1, -1), repeat=len(free)):
            run = dict(zip(free, levels, strict=True))
            for factor, word in self.generators:
                run[factor] = _product(run[other] for other in word)
            found.append(tuple(run[factor] for factor in range(self.n_factors)))
        return found

    def sign(self, effect: Word, run: Sequence[int]) -> int:
        """Return an effect's sign in a run: the product of its factors' levels."""
        return _product(run[factor] for factor in effect)

    def aliases(self, effect: Word, longest: int) -> list[Word]:
        """Return the effects of so many factors at most that cannot be told from this one."""
        found = {effect ^ word for word in self.words}
        return sorted((other for other in found if len(other) <= longest), key=_order)


@cache
def design(n_factors: int, resolution: int | None) -> Design:
    """Return the full design, or the smallest fraction of at least some resolution.

    Of fractions of one size that with the fewest short words is taken, the first of those.

    Args:
        n_factors: from 2 to ``MOST_FACTORS``.
        resolution: one of ``RESOLUTIONS``; None for all combinations.

    Raises:
        InputError: no fraction of so many factors has the resolution.
    """
    if not 2 <= n_factors <= MOST_FACTORS:
        raise InputError(f"a factorial design has from 2 to {MOST_FACTORS} factors, got {n_factors}")
    if resolution is None:
        return Design(n_factors)
    if resolution not in RESOLUTIONS:
        raise InputError(f"`resolution` must be one of {', '.join(map(str, RESOLUTIONS))} or None, got {resolution!r}")
    for n_free in range(2, n_factors):
        found = [made for made in _fractions(n_factors, n_free) if (made.resolution or 0) >= resolution]
        if found:
            return max(found, key=lambda made: sorted(map(len, made.words)))
    raise InputError(
        f"no fraction of {n_factors} two-level factors has resolution {RESOLUTIONS[resolution]}: leave `resolution` "
        f"out to run all {2**n_factors} combinations"
    )


def _fractions(n_factors: int, n_free: int) -> Iterator[Design]:
    """Yield the fractions in which the first factors are free."""
    products = [
        frozenset(word) for size in range(n_free, 1, -1) for word in itertools.combinations(range(n_free), size)
    ]
    bound = range(n_free, n_factors)
    for words in itertools.combinations(products, len(bound)):
        yield Design(n_factors, tuple(zip(bound, words, strict=True)))


@cache
def _words(generating: tuple[Word, ...]) -> frozenset[Word]:
    """Return all products of some words."""
    found = {frozenset[int]()}
    for word in generating:
        found |= {other ^ word for other in found}
    return frozenset(found - {frozenset()})


def _product(levels: Iterator[int] | Sequence[int]) -> int:
    sign = 1
    for level in levels:
        sign *= level
    return sign


def _order(effect: Word) -> tuple[int, list[int]]:
    return len(effect), sorted(effect)
