"""The steps that trials of a space are compared at: from the first epoch of pretraining to the last of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

from engine.spaces import Space
from engine.stages.steps import last_steps

REDUCTION = 2
"""Of the trials that reach a rung, one in so many goes on: with 2, a rung falls in the last half of any training."""


@dataclass(frozen=True)
class Horizon:
    """The steps of a space's longest trial.

    Attributes:
        n_pretrain: the last step of pretraining; fine-tuning begins after it.
        n_finetune: steps of fine-tuning, and of what a user's stages tell after it; 0 where there are none.
    """

    n_pretrain: int
    n_finetune: int

    @classmethod
    def of(cls, space: Space) -> Horizon:
        """Return a space's horizon."""
        first, *others = last_steps(space).values()
        return cls(first, max(others, default=first) - first)

    @property
    def n_steps(self) -> int:
        """Return the last step."""
        return self.n_pretrain + self.n_finetune

    def first_rung(self) -> int:
        """Return the least first rung, ≥ 2, such that a later one (or it itself) lies in fine-tuning's first half.

        Many trials share their pretraining, which is not pruned on: without a rung in fine-tuning they would never be
        judged.
        """
        start, end = self.n_pretrain, self.n_pretrain + max(1, self.n_finetune // 2)
        if not self.n_finetune:
            start, end = 0, self.n_pretrain
        for first in range(2, end + 1):
            rung = first
            while rung <= start:
                rung *= REDUCTION
            if rung <= end:
                return first
        return max(1, end)
