"""Seeds derived from a seed and a purpose, the same in every process and on every machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *purpose: object) -> int:
    """Return the seed of one purpose under ``seed``: an int in [0, 2**63).

    Args:
        seed: the seed that it comes from.
        purpose: what it is for, as strings and integers ("pretrain", "order", 3); other purposes get unrelated seeds.
    """
    text = "\x1f".join([str(int(seed)), *(str(part) for part in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a ``torch.Generator`` seeded for one purpose under ``seed``."""
    import torch  # here, so that light processes can derive seeds without it

    return torch.Generator(device=device).manual_seed(derive_seed(seed, *purpose))
