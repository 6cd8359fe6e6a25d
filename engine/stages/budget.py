"""How many labelled noisy images a result used, if any: those trained on, and those that chose the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from engine.errors import InputError
from engine.settings import SelectBy

HELD_OUT: SelectBy = "held-out"
ONE_IN = 5
"""Of so many noisy images one is held out: a fifth, the 80–20 split of the filter paper (section 4.1)."""


@dataclass(frozen=True)
class NoisyBudget:
    """The labelled noisy images of a fine-tuning, or of a training anew.

    Attributes:
        trained_on: noisy images that the weights were fitted to.
        selecting: noisy images, none of those, by which the best epoch was chosen and training stopped.
        select_by: where the latter come from (``FinetuneSettings.select_by``).
        unlabelled: noisy images that were adapted to without their labels.
    """

    trained_on: int
    selecting: int
    select_by: SelectBy
    unlabelled: int = 0

    @classmethod
    def of(cls, n_images: int, select_by: SelectBy, *, n_validation: int) -> Self:
        """Return the budget of a trial.

        Args:
            n_images: noisy training images at hand.
            select_by: see ``FinetuneSettings``.
            n_validation: validation images of the data set.
        """
        if select_by != HELD_OUT:
            return cls(n_images, n_validation, select_by)
        return cls(n_images - n_images // ONE_IN, n_images // ONE_IN, select_by)

    @classmethod
    def without_labels(cls, n_images: int) -> Self:
        """Return the budget of a trial that looks at no label of a noisy image."""
        return cls(0, 0, HELD_OUT, unlabelled=n_images)

    @property
    def labelled(self) -> int:
        """Return how many labelled noisy images were used in all."""
        return self.trained_on + self.selecting

    def __str__(self) -> str:
        if not self.labelled:
            return f"0 labelled noisy images ({self.unlabelled:,} without labels adapted to)"
        chosen_by = "held out to select" if self.select_by == HELD_OUT else "validation images to select"
        return (
            f"{self.labelled:,} labelled noisy images ({self.trained_on:,} trained on, {self.selecting:,} {chosen_by} "
            "the epoch)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the budget as a JSON value, "labelled" (how many in all) beside the fields."""
        fields = {name: value for name, value in asdict(self).items() if name != "unlabelled" or value}
        return {"labelled": self.labelled, **fields}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the budget of ``to_json``."""
        return cls(value["trained_on"], value["selecting"], value["select_by"], value.get("unlabelled", 0))


def check_held_out(n_images: int, select_by: SelectBy) -> None:
    """Check that there are noisy images to select the epoch by.

    Raises:
        InputError: a fifth of them is to be held out, and that is none.
    """
    if select_by == HELD_OUT and n_images < ONE_IN:
        raise InputError(
            f"`distortion.n_images` must be ≥ {ONE_IN}, got {n_images}: a fifth of the noisy images is held out to "
            "select the best epoch (or let all noisy validation images do that: `finetune.select_by`=validation)"
        )
