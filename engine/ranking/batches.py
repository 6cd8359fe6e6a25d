"""How many images' maps are in memory at a time, and what is done where memory does not take so many."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import nn

from engine.data.streamed import Images
from engine.data.streamed import batch_size as suitable
from engine.errors import InputError
from engine.out_of_memory import is_out_of_memory
from engine.ranking.maps import BATCH, activation_maps

MAPS_BYTES = 2**30
"""What the maps of a batch may take on a GPU; with those of the noisy images and what a distance makes of them it is
some times as much."""
MOST_ON_GPU = 2048


class Batches:
    """The size of batches: half of it whenever memory was lacking, if that is allowed.

    Args:
        size: images in a batch.
        halves: whether that is allowed.

    Attributes:
        size: the size that holds now.
        n_halved: how often it was halved.

    Raises:
        InputError: a size below 1.
    """

    def __init__(self, size: int, *, halves: bool = False) -> None:
        if size < 1:
            raise InputError(f"`batch_size` must be ≥ 1, got {size}")
        self.size = size
        self.n_halved = 0
        self._halves = halves

    @classmethod
    def of(cls, size: int | Batches) -> Batches:
        """Return batches of a size, or those that are given."""
        return size if isinstance(size, Batches) else cls(size)

    def over(self, n: int, work: Callable[[int, int], None]) -> None:
        """Do some work for n images, a batch at a time.

        Args:
            n: how many there are.
            work: is given a batch's start and end, and leaves nothing behind where it raises.

        Raises:
            Exception: what ``work`` raises; a lack of memory, where sizes are halved, of a single image alone.
        """
        done = 0
        while done < n:
            end = min(done + self.size, n)
            if self._do(work, done, end):
                done = end
            elif torch.cuda.is_available():
                torch.cuda.empty_cache()  # not before the error is gone, whose traceback holds the batch's tensors

    def _do(self, work: Callable[[int, int], None], start: int, end: int) -> bool:
        """Return whether memory took a batch; if it did not, the next one is smaller."""
        try:
            work(start, end)
        except Exception as error:
            if not self._halves or end - start <= 1 or not is_out_of_memory(error):
                raise
            self.size = (end - start) // 2
            self.n_halved += 1
            warnings.warn(f"memory takes no {end - start} images' maps: {self.size} are tried", stacklevel=2)
            return False
        return True


def ranking_batches(model: nn.Module, images: Images, layers: Iterable[str], *, at: str) -> Batches:
    """Return the batches that images' maps are made in.

    A network's last digits may depend on how many images it is given. So the size follows from what has the same key:
    from the images on a CPU, and on a GPU from the maps of one of them too, but not from the memory that is free. Only
    where a GPU's memory lacks for so many it is halved; on a CPU, where the same key gives the same bits, it is not.

    Args:
        model: as for ``activation_maps``, as are the others.
        images: ``(n, c, h, w)``.
        layers: names.
        at: the place where the maps are taken.
    """
    if images.device.type == "cpu":
        return Batches(suitable(images, BATCH))
    one = next(activation_maps(model, images[:1], layers, at=at))
    of_an_image = sum(maps.numel() * maps.element_size() for maps in one.values())
    fitting = max(1, min(MOST_ON_GPU, MAPS_BYTES // of_an_image))
    return Batches(suitable(images, 2 ** int(math.log2(fitting))), halves=True)
