"""How fast a network is trained and tested on images that are streamed from the store's files, beside images in memory.

    python -m benchmarks.streaming [--images 96] [--batch-size 16] [--threads 2] [--rounds 3]

A ResNet-18 of torchvision's at 224 pixels. What is streamed is what ``imagefolder:PATH`` leaves in a store: a file that
is mapped, of which a batch is read while the one before it is worked on. Beside it the same images lie in memory, as
one tensor. "Read anew" is the same file with none of it in memory when an epoch begins, as it is with more images than
memory holds. The losses and errors of all ways must be the same to the bit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.corruptions import smooth_images
from benchmarks.machine import describe_machine
from benchmarks.training import Taken, Work, time_in_turns
from engine.data import Split
from engine.data.streamed import StreamedImages
from engine.metrics import error_table
from engine.models import build_model
from engine.settings import TrainingSettings
from engine.store import open_store
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
        file = store_images(Path(home), options.images, options.side)
        for what, ways in (
            (f"training, batch {options.batch_size}", training_ways(file, options.batch_size)),
            (f"testing under {', '.join(CORRUPTIONS)}", testing_ways(file)),
        ):
            print(f"\nResNet-18, {what}, {options.images} images of {options.side} pixels", flush=True)
            compare(ways, options.rounds)
    print(describe_machine())


def store_images(home: Path, n: int, side: int) -> Path:
    """Return the file of images that lie in a store as ``imagefolder:PATH`` has them there."""
    store = open_store(home / "store")
    with store.attempt("0123456789abcdef" * 2) as attempt:
        mapped = attempt.map_images("train-images", (n, 3, side, side))
        mapped[:] = smooth_images(n, side).numpy()
        mapped.flush()  # type: ignore[no-untyped-call]
        artifact = store.publish(attempt, {"spec": {"stage": "data"}})
    return artifact.path_of("train-images.safetensors")


def split_of(images: torch.Tensor | StreamedImages) -> Split:
    """Return images with labels and indices."""
    return Split(images, torch.arange(len(images)) % N_CLASSES, torch.arange(len(images)))


def streamed(file: Path) -> Split:
    """Return the images of a file, which is mapped."""
    return split_of(StreamedImages.of(load_file(file)["images"]))


def in_memory(file: Path) -> Split:
    """Return the images of a file as a tensor in memory."""
    return split_of(load_file(file)["images"].clone())


def resident(file: Path) -> Split:
    """Return the images of a file in memory, to be worked on in as many parts as streamed ones are."""
    return split_of(StreamedImages.of(load_file(file)["images"].clone()))


def forgotten(file: Path) -> Path:
    """Return a file of which nothing is in memory any more; nobody may have it mapped."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    return file


def make_network(side: int) -> nn.Module:
    """Return the network, the same weights each time."""
    torch.manual_seed(0)
    network = build_model("torchvision:resnet18", num_classes=N_CLASSES, image_size=side)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def training_ways(file: Path, batch_size: int) -> dict[str, Work]:
    """Return what trains an epoch in each way, and gives its loss."""
    settings = TrainingSettings(
        epochs=1_000,
        batch_size=batch_size,
        optimizer="sgd",
        learning_rate=0.01,
        schedule="constant",
        augmentation="none",
    )

    def epoch(trainer: Trainer, source: Callable[[], Split] | None = None) -> float:
        if source is None:
            return float(trainer.train_epoch()["loss"])
        trainer.split = source()
        loss = float(trainer.train_epoch()["loss"])
        trainer.split = replace(trainer.split, images=torch.empty(0))  # the file is mapped no longer
        return loss

    def trainer_of(split: Split) -> Trainer:
        network = make_network(split.images.shape[2])
        return Trainer(network, split, settings, seed=0, judge=lambda module: {"validation_error": 0.5})

    copied = copy_of(file)
    return {
        "engine": partial(epoch, trainer_of(streamed(file))),
        MEMORY: partial(epoch, trainer_of(in_memory(file))),
        COLD: partial(epoch, trainer_of(in_memory(file)), lambda: streamed(forgotten(copied))),
    }


def testing_ways(file: Path) -> dict[str, Work]:
    """Return what tests a network in each way, and gives its errors."""
    network = make_network(streamed(file).images.shape[2])

    def errors(source: Callable[[], Split]) -> object:
        return error_table(network, source(), corruptions=CORRUPTIONS, severities=[3], seed=0, table="imagenet-c")

    copied, mapped, copy = copy_of(file), streamed(file), resident(file)
    return {
        "engine": partial(errors, lambda: mapped),
        MEMORY: partial(errors, lambda: copy),
        COLD: partial(errors, lambda: streamed(forgotten(copied))),
    }


def copy_of(file: Path) -> Path:
    """Return a copy of a file that nobody has mapped."""
    copied = file.with_name("copied.safetensors")
    shutil.copy(file, copied)
    return copied


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
