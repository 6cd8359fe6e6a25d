"""Images that are more than memory should hold: in a file that is mapped into memory, read a batch at a time.

What is read is the page cache's, which all processes of a machine share; a process has no copy of its own but of the
batch that it works on. Everything that takes such images takes them in batches of a size that is theirs, wherever they
lie, so that the numbers are the same whether they are streamed or resident on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.data.scratch import scratch
from engine.data.shards import ShardedImages

PIXELS_A_BATCH = 2**21
"""Of what is only run through a network: 41 images of 224 pixels. A network's maps take some hundred bytes a pixel."""
RESIDENT_SHARE = 0.4
"""Share of a GPU's free memory that images may take to be resident there."""

Change = Callable[[Tensor, Tensor], Tensor]
"""From images and their indices to changed images, the same whatever else is in the batch."""


@dataclass(frozen=True)
class StreamedImages:
    """Images uint8 (n, c, side, side), of which a part is a tensor once it is asked for.

    Attributes:
        stored: uint8 (N, c, side, side): files that are mapped, or a copy on a device.
        rows: int64 (n,) on the CPU: which of them these are.
        device: where parts come to.
        change: what becomes of each part; None for nothing.
        indices: int64 (n,): by which ``change`` draws; None where nothing changes.
    """

    stored: Tensor | ShardedImages
    rows: Tensor
    device: torch.device
    change: Change | None = None
    indices: Tensor | None = None

    @classmethod
    def of(cls, stored: Tensor | ShardedImages) -> StreamedImages:
        """Return all images of a tensor, or of shards."""
        return cls(stored, torch.arange(len(stored)), stored.device)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """Return (n, c, side, side)."""
        return torch.Size((len(self), *self.stored.shape[1:]))

    @property
    def ndim(self) -> int:
        """Return 4."""
        return self.stored.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Return uint8."""
        return self.stored.dtype

    def is_floating_point(self) -> bool:
        """Return False: they are uint8."""
        return self.stored.is_floating_point()

    def __getitem__(self, place: int | slice | Tensor) -> Tensor:
        """Return an image (c, side, side), or those of a slice or of positions (n, c, side, side)."""
        if isinstance(place, int):
            return self[torch.tensor([place % len(self)])][0]
        place = place.cpu() if isinstance(place, Tensor) else place
        rows = self.rows[place]
        found = self.stored[rows.to(self.stored.device)]
        if found.device != self.device:
            pinned = found.pin_memory() if self.device.type == "cuda" else found
            found = pinned.to(self.device, non_blocking=True)
        if self.change is None:
            return found
        assert self.indices is not None
        return self.change(found, self.indices[place].to(self.device))

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield batches of a size, one after the other."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def take(self, positions: Tensor) -> StreamedImages:
        """Return the images at some positions; nothing is read."""
        positions = positions.cpu()
        indices = None if self.indices is None else self.indices[positions]
        return replace(self, rows=self.rows[positions], indices=indices)

    def changed(self, change: Change, indices: Tensor) -> StreamedImages:
        """Return the images with a change that is made whenever a part is read."""
        return replace(self, change=change, indices=indices.cpu())

    def to(self, device: torch.device | str) -> StreamedImages:
        """Return the images for a device: copied there if its free memory takes them easily, else streamed to it."""
        device = torch.device(device)
        return self.resident(device) if self._fit(device) else replace(self, device=device)

    def resident(self, device: torch.device | str) -> StreamedImages:
        """Return the images with a copy of them on a device."""
        plain = replace(self, device=torch.device(device), change=None, indices=None)
        stored = torch.empty(self.shape, dtype=self.dtype, device=device)
        size = batch_size(self, len(self))
        for start, batch in zip(range(0, len(self), size), plain.split(size), strict=True):
            stored[start : start + size] = batch
        return replace(self, stored=stored, rows=torch.arange(len(self)), device=torch.device(device))

    def kept(self) -> StreamedImages:
        """Return the images with their change made once, a batch at a time, and kept as ``scratch`` keeps them."""
        stored = scratch(self.shape, self.dtype, self.device if self._fit(self.device) else "cpu")
        size = batch_size(self, len(self))
        for start, batch in zip(range(0, len(self), size), self.split(size), strict=True):
            stored[start : start + size] = batch
        return replace(StreamedImages.of(stored), device=self.device)

    def whole(self) -> Tensor:
        """Return all of them as one tensor: for sets that are known to be small."""
        return self[:]

    def _fit(self, device: torch.device) -> bool:
        """Return whether a GPU's free memory takes them easily."""
        return device.type == "cuda" and fits(self.shape.numel(), device)


Images = Tensor | StreamedImages


def fits(n_bytes: int, device: torch.device) -> bool:
    """Return whether a device takes so much easily; a CPU's memory is not asked."""
    return device.type == "cpu" or n_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def whole(images: Images) -> Tensor:
    """Return images as one tensor."""
    return images if isinstance(images, Tensor) else images.whole()


def like(images: Images, made: Tensor) -> Images:
    """Return what was made of images in the form that they have: of streamed ones, it is read in batches too."""
    return made if isinstance(images, Tensor) else replace(StreamedImages.of(made), device=images.device)


def kept(images: Images) -> Images:
    """Return images whose change is made once, not whenever a part of them is read."""
    return images if isinstance(images, Tensor) else images.kept()


def batch_size(images: Images, usual: int) -> int:
    """Return how many images to run through a network at a time.

    Args:
        images: the images.
        usual: how many there are at a time of those that are no streamed ones, and at most of these.
    """
    if isinstance(images, Tensor):
        return usual
    return max(1, min(usual, PIXELS_A_BATCH // (images.shape[2] * images.shape[3])))


def in_batches(images: Images, batches: Sequence[Tensor]) -> Iterable[Tensor]:
    """Return the images at some positions, batch after batch; of streamed ones the next is read while one is used."""
    if isinstance(images, Tensor):
        return (images[positions] for positions in batches)
    return _ahead(images, batches)


def _ahead(images: StreamedImages, batches: Sequence[Tensor]) -> Iterator[Tensor]:
    with ThreadPoolExecutor(1, thread_name_prefix="next batch") as pool:
        coming = pool.submit(images.__getitem__, batches[0])
        for following in batches[1:]:
            ready, coming = coming.result(), pool.submit(images.__getitem__, following)
            yield ready
        yield coming.result()


def channel_statistics(images: StreamedImages) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, in units of [0, 1], float (c,), from exact counts."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for batch in images.split(batch_size(images, len(images))):
        for channel, pixels in enumerate(batch.cpu().unbind(1)):
            counts[channel] += pixels.flatten().int().bincount(minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    total = counts.sum(1)
    mean = (counts * values).sum(1) / total
    variance = (counts * (values - mean[:, None]) ** 2).sum(1) / (total - 1)
    return mean.float(), variance.sqrt().float()
