"""Corrupted sets that a process keeps on its GPU, within a share of the memory that it may have there.

Nothing of this was ever run on a real GPU, so sets are kept there only where the variable that bounds them
(``engine.data.machine_sets``) is set. Processes that share a GPU have their sets each for itself. Sets are the first to
go where memory lacks, while one is made or in a stage, which is tried again then; that process keeps none any more.
"""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.data.machine_sets import BOUND, RECENT_S, sets_bound

MEMORY_SHARE = 0.25
"""Share of the memory that the process could still take, its sets included, that they take at most."""


class DeviceSets:
    """Sets of images on a device by key.

    Args:
        device: where they are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[str, tuple[Tensor, float]] = OrderedDict()
        self._is_given_up = False

    def made(self, key: str, shape: Sequence[int], make: Callable[[], Tensor]) -> Tensor:
        """Return the images of a key: those that are kept, else made now, and kept where there is room.

        Args:
            key: hash of all that decides them.
            shape: (n, c, side, side).
            make: makes them, uint8 on the device.
        """
        if key in self._kept:
            images, _ = self._kept.pop(key)
        else:
            images = self._made_now(make)
            if self._is_given_up or not self._is_room(math.prod(shape)):
                return images
        self._kept[key] = images, time.monotonic()
        return images

    def give_up(self) -> bool:
        """Let all sets go and keep none any more; return whether there were any."""
        were_any, self._is_given_up = bool(self._kept), True
        self._kept.clear()
        return were_any

    def _made_now(self, make: Callable[[], Tensor]) -> Tensor:
        try:
            return make()
        except torch.OutOfMemoryError:
            if not self.give_up():
                raise
        torch.cuda.empty_cache()
        return make()  # out here nothing holds what the error has seen

    def _is_room(self, n_bytes: int) -> bool:
        """Return whether so much more may be kept; what was not used lately goes for it."""
        kept = sum(images.numel() for images, _ in self._kept.values())
        most = min(sets_bound(), MEMORY_SHARE * (_free_bytes(self._device) + n_bytes + kept))
        while kept + n_bytes > most and self._kept:
            oldest, used_at = next(iter(self._kept.values()))
            if n_bytes > most or time.monotonic() - used_at < RECENT_S:
                break
            self._kept.popitem(last=False)
            kept -= oldest.numel()
        return kept + n_bytes <= most


_of_device: dict[torch.device, DeviceSets] = {}


def device_sets(device: torch.device) -> DeviceSets | None:
    """Return what this process keeps on a GPU; None where nothing is to be kept.

    Raises:
        InputError: the variable that bounds it is no number of gigabytes.
    """
    if not os.environ.get(BOUND) or not sets_bound():
        return None
    return _of_device.setdefault(device, DeviceSets(device))


def give_up_device_sets() -> bool:
    """Let go all that this process keeps on GPUs, and keep none any more; return whether there was any."""
    gone = [sets.give_up() for sets in _of_device.values()]
    return any(gone)


def _free_bytes(device: torch.device) -> float:
    """Return how much memory the process could still take: what is free, and what it has taken and does not use."""
    free, total = torch.cuda.mem_get_info(device)
    used, taken = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    allowed = torch.cuda.get_per_process_memory_fraction(device) * total
    return max(0.0, min(free + taken - used, allowed - used))
