"""How fast a network is trained and tested on images that are streamed from the store's files, beside images in memory.

    python -m benchmarks.streaming [--images 96] [--batch-size 16] [--threads 2] [--rounds 3]

A ResNet-18 of torchvision's at 224 pixels. What is streamed is what ``imagefolder:PATH`` leaves in a store: shards that
are mapped, of which a batch is read while the one before it is worked on. Beside it the same images lie in memory, as
one tensor. "Read anew" are shards that nobody has open, and of which memory has nothing when an epoch begins, as it is
with more images than memory holds: they are read from the disk, and checked. The losses and errors of all ways must be
the same to the bit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.corruptions import smooth_images
from benchmarks.machine import describe_machine
from benchmarks.training import Taken, Work, time_in_turns
from engine.data import Split
from engine.data.shards import ShardedImages, images_a_shard
from engine.data.streamed import StreamedImages
from engine.metrics import error_table
from engine.models import build_model
from engine.settings import TrainingSettings
from engine.stages.stored_shards import allotted, shards_of
from engine.store import Store, open_store
from engine.store.artifact import Artifact
from engine.training import Trainer

MEMORY, COLD = "from memory", "read anew"
CORRUPTIONS = ("gaussian_noise", "contrast")
N_CLASSES = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each way takes, and at which share of the speed from memory images are streamed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=224, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"{describe_machine()}, torch {torch.__version__}, {options.threads} thread(s)", flush=True)
    with tempfile.TemporaryDirectory() as home:
        store = open_store(Path(home, "store"))
        mapped, anew = (store_images(store, digit * 32, options.images, options.side) for digit in "01")
        for what, ways in (
            (f"training, batch {options.batch_size}", training_ways(mapped, anew, options.batch_size)),
            (f"testing under {', '.join(CORRUPTIONS)}", testing_ways(mapped, anew)),
        ):
            print(f"\nResNet-18, {what}, {options.images} images of {options.side} pixels", flush=True)
            compare(ways, options.rounds)
    print(describe_machine())


def store_images(store: Store, key: str, n: int, side: int) -> Shards:
    """Return images that lie in a store as ``imagefolder:PATH`` has them there, in shards."""
    shape = (n, 3, side, side)
    with store.attempt(key) as attempt:
        images = allotted(attempt, "train", shape)
        for place, image in enumerate(smooth_images(n, side).numpy()):
            images[place] = image
        artifact = store.publish(attempt, {"spec": {"stage": "data"}})
    return Shards(
        artifact, shards_of(artifact, {"train": {"shape": shape, "a_shard": images_a_shard(shape)}}, "train", None)
    )


class Shards(NamedTuple):
    """Images in shards, and the artifact that these belong to."""

    artifact: Artifact
    images: ShardedImages

    def split(self) -> Split:
        """Return the images, streamed."""
        return split_of(StreamedImages.of(self.images))

    def forgotten(self) -> Split:
        """Return the images, streamed, of which nothing is in memory any more."""
        self.images.close()
        for file in self.artifact.folder.glob("*.safetensors"):
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
        return self.split()


def split_of(images: torch.Tensor | StreamedImages) -> Split:
    """Return images with labels and indices."""
    return Split(images, torch.arange(len(images)) % N_CLASSES, torch.arange(len(images)))


def make_network(side: int) -> nn.Module:
    """Return the network, the same weights each time."""
    torch.manual_seed(0)
    network = build_model("torchvision:resnet18", num_classes=N_CLASSES, image_size=side)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def training_ways(mapped: Shards, anew: Shards, batch_size: int) -> dict[str, Work]:
    """Return what trains an epoch in each way, and gives its loss."""
    settings = TrainingSettings(
        epochs=1_000,
        batch_size=batch_size,
        optimizer="sgd",
        learning_rate=0.01,
        schedule="constant",
        augmentation="none",
    )

    def epochs_on(source: Callable[[], Split]) -> Work:
        network = make_network(mapped.images.shape[2])
        trainer = Trainer(network, source(), settings, seed=0, judge=lambda module: {"validation_error": 0.5})

        def epoch() -> float:
            trainer.split = source()
            return float(trainer.train_epoch()["loss"])

        return epoch

    copy = split_of(mapped.images[:])
    return {"engine": epochs_on(mapped.split), MEMORY: epochs_on(lambda: copy), COLD: epochs_on(anew.forgotten)}


def testing_ways(mapped: Shards, anew: Shards) -> dict[str, Work]:
    """Return what tests a network in each way, and gives its errors."""
    network = make_network(mapped.images.shape[2])

    def errors(source: Callable[[], Split]) -> object:
        return error_table(network, source(), corruptions=CORRUPTIONS, severities=[3], seed=0, table="imagenet-c")

    copy = split_of(StreamedImages.of(mapped.images[:]))  # as many at a time as of streamed ones
    return {
        "engine": partial(errors, mapped.split),
        MEMORY: partial(errors, lambda: copy),
        COLD: partial(errors, anew.forgotten),
    }


def compare(ways: Mapping[str, Work], rounds: int) -> None:
    """Print what each way takes.

    Raises:
        SystemExit: they come to other numbers.
    """
    found: dict[str, list[object]] = {way: [] for way in ways}
    noted = {way: partial(_note, found[way], work) for way, work in ways.items()}
    medians = time_in_turns(noted, rounds)
    if any(results != found["engine"] for results in found.values()):
        raise SystemExit(f"the ways come to other numbers: {found}")
    tell_speed(medians, [way for way in ways if way != MEMORY])


def _note(found: list[object], work: Work) -> None:
    found.append(work())


def tell_speed(medians: Mapping[str, Taken], ways: Iterable[str]) -> None:
    """Print at which share of the speed from memory each way runs."""
    for way in ways:
        speed = [mine / max(other, 0.01) for mine, other in zip(medians[MEMORY], medians[way], strict=True)]
        name = "streamed" if way == "engine" else f"streamed, {way}"
        print(f"  {name}: {speed[0]:.2f} of the speed from memory, {speed[1]:.2f} by the processor's seconds")


if __name__ == "__main__":
    main()
