"""Images in several files of one size, each mapped into memory when an image of it is asked for.

A store in a bucket has such files fetched one by one, so that a machine has those that it needs; who maps one keeps the
machine's copy of it from being removed, and lets it go when others are asked for and there may be no more.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch
from torch import Tensor

SHARD_BYTES = 1 << 25
"""Of a shard, unless there would be too many: 222 images of 224 pixels."""
MOST_SHARDS = 256
"""Each that a process has open of a bucket's files takes one of its file handles."""

Open = Callable[[int, tuple[int, ...]], AbstractContextManager[Tensor]]
"""From a shard's number and shape to what gives its images, uint8 of that shape, until it is closed."""


def images_a_shard(shape: Sequence[int]) -> int:
    """Return how many of the images of a shape (n, c, side, side) make a shard."""
    return max(1, SHARD_BYTES // math.prod(shape[1:]), math.ceil(shape[0] / MOST_SHARDS))


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (first row, its place, how many) of rows that follow each other."""
    first = 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or rows[place] != rows[place - 1] + 1:
            yield rows[first], first, place - first
            first = place


class ShardedImages:
    """Images uint8 (n, c, side, side) on the CPU, of which a part is a tensor once it is asked for.

    Args:
        shape: of all of them.
        a_shard: how many each shard has; the last one has the rest.
        open_shard: opens one.
        most: how many are open at a time, at most; None for all.
    """

    dtype = torch.uint8
    ndim = 4
    device = torch.device("cpu")

    def __init__(self, shape: Sequence[int], a_shard: int, open_shard: Open, most: int | None = None) -> None:
        self.shape = torch.Size(shape)
        self._a_shard = a_shard
        self._open_shard = open_shard
        self._most = most
        self._opened: OrderedDict[int, tuple[Tensor, ExitStack]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self.shape[0]

    def is_floating_point(self) -> bool:
        """Return False: they are uint8."""
        return False

    def __getitem__(self, rows: int | slice | Tensor) -> Tensor:
        """Return an image (c, side, side), or those of a slice or of rows int64 (n,): (n, c, side, side)."""
        if isinstance(rows, int):
            return self[torch.tensor([rows % len(self)])][0]
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(len(self)))
        found = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        with self._lock:
            for row, place, count in sorted(_runs(rows.tolist())):  # shard by shard: there may be few open at a time
                while count:
                    number, first = divmod(row, self._a_shard)
                    n = min(count, self._a_shard - first)
                    found[place : place + n] = self._shard(number)[first : first + n]  # no copy between
                    row, place, count = row + n, place + n, count - n
        return found

    def __setitem__(self, row: int, image: np.ndarray) -> None:
        """Put an image into its place, where shards are open to be written."""
        number, place = divmod(row, self._a_shard)
        with self._lock:
            self._shard(number)[place] = torch.from_numpy(image)

    def close(self) -> None:
        """Let all shards go; they are opened again when they are asked for."""
        with self._lock:
            while self._opened:
                self._opened.popitem()[1][1].close()

    def _shard(self, number: int) -> Tensor:
        if number in self._opened:
            self._opened.move_to_end(number)
        else:
            while self._most is not None and len(self._opened) >= self._most:
                self._opened.popitem(last=False)[1][1].close()
            stack = ExitStack()
            shape = (min(self._a_shard, len(self) - number * self._a_shard), *self.shape[1:])
            self._opened[number] = stack.enter_context(self._open_shard(number, shape)), stack
        return self._opened[number][0]
