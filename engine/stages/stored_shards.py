"""Images of a data set in shards of the store: written by who decodes them, mapped by who works on them.

Of a store in a bucket a machine fetches the shards that are asked for, and keeps them within its cache's bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.data import RawData
from engine.data.shards import ShardedImages, images_a_shard
from engine.store.artifact import Artifact, CorruptArtifactError
from engine.store.attempts import Attempt, StoreFaultError
from engine.store.local_cache import BOUND
from engine.store.store import Store

Layouts = Mapping[str, Mapping[str, Any]]
"""By part: {"shape": of its images, "a_shard": how many of them a shard has}, JSON."""
_MAPPED_SHARE = 0.125
"""Share of what a machine may keep of a bucket's files that a process has mapped, of a data set that is more."""


def allotted(attempt: Attempt, part: str, shape: tuple[int, ...]) -> ShardedImages:
    """Return the shards of an attempt that a part's images are to be put into.

    Whoever puts an image there gets a StoreFaultError where the disk has no room for its shard.
    """

    def made(number: int, own: tuple[int, ...]) -> AbstractContextManager[Tensor]:
        try:
            return nullcontext(torch.from_numpy(attempt.map_images(_name(part, number), own)))
        except StoreFaultError as error:
            raise StoreFaultError(f"{error}; all images of {part!r} take {math.prod(shape) / 1e9:.3g} GB") from error

    return ShardedImages(shape, images_a_shard(shape), made)


def layouts(raw: RawData) -> Layouts:
    """Return how the images are spread over shards, of images that were put where ``allotted`` says."""
    shapes = {"train": raw.train.images.shape, "test": raw.test.images.shape}
    return {part: {"shape": list(shape), "a_shard": images_a_shard(shape)} for part, shape in shapes.items()}


def shard_files(found: Layouts) -> list[str]:
    """Return the names of all shards."""
    return [
        f"{_name(part, number)}.safetensors"
        for part, of in found.items()
        for number in range(math.ceil(of["shape"][0] / of["a_shard"]))
    ]


def shards_of(artifact: Artifact, found: Layouts, part: str, store: Store | None) -> ShardedImages:
    """Return the images of a part, whose shards are brought to this machine when something of them is asked for.

    Where all images may be here, all that was asked for stays mapped. Of more, a process has some mapped at a time.

    Args:
        artifact: of the data set.
        found: its layouts.
        part: "train" or "test".
        store: where the artifact is put aside if a shard is damaged; None for nowhere.
    """
    shape, a_shard, most = found[part]["shape"], found[part]["a_shard"], artifact.most_bytes
    at_a_time = None
    if most is not None and _n_bytes(found) > most:
        at_a_time = max(1, int(most * _MAPPED_SHARE / (a_shard * math.prod(shape[1:]))))
    return ShardedImages(shape, a_shard, partial(_opened, artifact, part, store), at_a_time)


def note_on_copies(artifact: Artifact) -> list[str]:
    """Return a sentence where the images are more than this machine may keep of a bucket's files."""
    n_bytes, most = _n_bytes(artifact.json("classes").get("shards", {})), artifact.most_bytes
    if most is None or n_bytes <= most:
        return []
    return [
        f"the images are {n_bytes / 1e9:.3g} GB, but a machine keeps {most / 1e9:.3g} GB of a bucket's files at most: "
        f"they are fetched again and again ({BOUND} says how many)"
    ]


@contextmanager
def _opened(
    artifact: Artifact, part: str, store: Store | None, number: int, shape: tuple[int, ...]
) -> Iterator[Tensor]:
    """Give a shard's images.

    Raises:
        StoreFaultError: it is damaged, or not of these images.
    """
    name, key = _name(part, number), artifact.manifest["key"]
    try:
        with artifact.held(name) as tensors:
            images = tensors.get("images")
            if images is None or images.dtype != torch.uint8 or images.shape != shape:
                what = "no images" if images is None else f"{images.dtype} of the shape {tuple(images.shape)}"
                raise CorruptArtifactError(f"artifact {key}: {name} must have uint8 of the shape {shape}, got {what}")
            yield images
    except CorruptArtifactError as error:
        aside = None if store is None else store.quarantine(key)
        again = "; the same command decodes them anew" if aside is not None else ""
        raise StoreFaultError(f"the images in the store are damaged: {error}{again}") from error


def _name(part: str, number: int) -> str:
    return f"{part}-images-{number:05}"


def _n_bytes(found: Layouts) -> int:
    return sum(math.prod(of["shape"]) for of in found.values())
