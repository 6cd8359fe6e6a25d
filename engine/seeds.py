"""Seeds derived from a seed and a purpose, the same in every process and on every machine."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def global_draws(seed: int, *purpose: object, device: torch.device | str = "cpu") -> Iterator[None]:
    """Have what draws from global generators draw for one purpose under ``seed``; afterwards they stand as before.

    Dropout, stochastic depth and whatever a user's module draws know no generator of their own. Torch's generators of
    the CPU and of one device are meant, numpy's and Python's.

    Args:
        seed: the seed that the draws come from.
        purpose: what they are for.
        device: where else draws are made than on the CPU.
    """
    import numpy as np
    import torch

    where, derived = torch.device(device), derive_seed(seed, *purpose)
    on_gpu = where.type == "cuda"
    gpu = (torch.cuda.current_device() if where.index is None else where.index) if on_gpu else 0
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[gpu] if on_gpu else []):
        torch.random.default_generator.manual_seed(derived)
        if on_gpu:
            torch.cuda.default_generators[gpu].manual_seed(derived)
        random.seed(derived)
        np.random.seed(derived % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002
