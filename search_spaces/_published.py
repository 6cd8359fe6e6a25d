"""The papers' figures as data, one file each in ``_papers/``: a row, a column, and the number that is printed there."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "_papers"


@dataclass(frozen=True)
class Published:
    """What a table or a figure of a paper says.

    Attributes:
        values: {(row, column): number}, in the paper's unit: percent, or a count.
    """

    values: dict[tuple[str, str], float]

    @property
    def rows(self) -> list[str]:
        """Return the names of the rows, in the paper's order."""
        return list(dict.fromkeys(row for row, _ in self.values))

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns, in the paper's order."""
        return list(dict.fromkeys(column for _, column in self.values))

    def text(self, row: str, column: str, digits: int = 1) -> str:
        """Return a number as text; "–" where the paper has none."""
        value = self.values.get((row, column))
        return "–" if value is None else f"{value:.{digits}f}"

    def change(self, row: str, reference: str, column: str) -> str:
        """Return by how much a row differs from another one, with its sign; "–" where the paper does not say."""
        mine, theirs = self.values.get((row, column)), self.values.get((reference, column))
        return "–" if mine is None or theirs is None else f"{mine - theirs:+.1f}"


@cache
def published(name: str) -> Published:
    """Return what the paper says in a table or figure ("push-pull-table-4")."""
    with (_FOLDER / f"{name}.csv").open(newline="") as file:
        return Published({(row["row"], row["column"]): float(row["value"]) for row in csv.DictReader(file)})


MATCHES_FROM = "paper: All-CNN on CIFAR-100, AWGN with σ 15, 96 filters a layer"


def published_matches() -> dict[tuple[int, str], str]:
    """Return {(place of the layer, ranking): "18/24"}: how many filters the filter paper's Table 1 has in common."""
    found = published("filters-table-1")
    return {
        (place, ranking): f"{found.values[layer, ranking]:.0f}/24"
        for place, layer in enumerate(found.rows)
        for ranking in found.columns
    }


def matches_between_distortions() -> str:
    """Return how many filters blur and noise have in common, as the filter paper says beside its Fig. 4."""
    found = published("filters-fig-4").values
    shares = [
        f"{found[name, 'blur and AWGN']:.0f}/{found[name, 'of']:.0f} ({name})" for name in ("CIFAR-10", "CIFAR-100")
    ]
    return f"paper, blur and AWGN, first layer: {', '.join(shares)}"
