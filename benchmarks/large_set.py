"""What a process holds in memory that ranks, tunes and tests on more images than memory should hold.

    python -m benchmarks.large_set [--gigabytes 20] [--noisy 200] [--pairing paired] [--threads 2]

The decoded images are synthetic and take so many gigabytes in the store; nearly all of them are black, so that the
files are sparse and need no room on the disk. Three processes work one after the other, as a person's would:

- the data set is put into the store;
- a training takes a step on a batch drawn from all of it, as a worker does that pretrains;
- ``python -m pipelines.trial`` ranks a ResNet-18 of torchvision's, whose weights are drawn, tunes a quarter of
  ``layer1`` for an epoch, and tests it on some images.

What each held of its own at most is told, and as a share of the images' bytes, which is what a process would hold that
has them in memory.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import models

from benchmarks.large_images import in_own_process
from benchmarks.machine import describe_machine
from benchmarks.memory import MemoryMeter
from engine.data import READERS, DataSet, RawData, Split, register_dataset
from engine.data.image_net_folder import SIDE
from engine.data.shards import ShardedImages
from engine.data.streamed import StreamedImages
from engine.errors import InputError
from engine.models import build_model
from engine.settings import DataSettings, TrainingSettings
from engine.stages import prepare_data
from engine.store import open_store
from engine.training import Trainer

NAME = "synthetic"
N_CLASSES, N_TEST = 10, 64
WHAT = {
    "prepare": "putting it into the store",
    "step": "a step of a training",
    "trial": "rank, tune, test",
}
_EVERY = 500
_TOLD = re.compile(r"seconds ([0-9.]+), own (\d+), images (\d+)")


class Synthetic:
    """The reader of ``synthetic:GIGABYTES``: images of which every 500th has pixels, in shards of the store."""

    is_mapped = True

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        try:
            gigabytes = float(argument or "")
        except ValueError:
            raise InputError(f"`synthetic` needs a number of gigabytes, got {argument!r}") from None
        self._side = settings.image_size or SIDE
        self._n = int(gigabytes * 1e9) // (3 * self._side**2)

    def fingerprint(self) -> str:
        """Return a hash of how many images there are, and how large."""
        return hashlib.sha256(f"synthetic {self._n} {self._side}".encode()).hexdigest()[:32]

    def read(self, allot: Callable[[str, tuple[int, ...]], ShardedImages] | None = None) -> RawData:
        """Return the images."""
        assert allot is not None
        draws = np.random.default_rng(0)
        splits = []
        for part, n in (("train", self._n), ("test", N_TEST)):
            images = allot(part, (n, 3, self._side, self._side))
            for place in range(0, n, _EVERY):
                images[place] = draws.integers(0, 256, images.shape[1:], dtype=np.uint8)
            splits.append(Split(StreamedImages.of(images), torch.arange(n) % N_CLASSES, torch.arange(n)))
        return RawData(splits[0], splits[1], tuple(f"class {number}" for number in range(N_CLASSES)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each process held."""
    options = _parser().parse_args(arguments)
    if NAME not in READERS:
        register_dataset(NAME)(Synthetic)
    if options.part is not None:
        run_part(options)
        return
    print(f"{describe_machine()}, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as home:
        given = [f"--gigabytes={options.gigabytes}", f"--noisy={options.noisy}", f"--pairing={options.pairing}"]
        given += [f"--threads={options.threads}", f"--side={options.side}", f"--home={home}"]
        for part, what in WHAT.items():
            printed = in_own_process([sys.executable, "-m", "benchmarks.large_set", "--part", part, *given])
            told = _TOLD.search(printed)
            assert told is not None
            seconds, own, images = map(float, told.groups())
            print(
                f"{printed[: told.start()]}{what}: {seconds:.0f} s; at most {own / 1000:.2f} GB of memory of its own, "
                f"{own / images:.1%} of the {images / 1000:.1f} GB of images",
                flush=True,
            )
    print(describe_machine())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--noisy", type=int, default=200, help="noisy images that are ranked by")
    parser.add_argument("--pairing", default="paired", choices=["paired", "unpaired"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=SIDE, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=list(WHAT), help=argparse.SUPPRESS)  # what follows is of its process
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    return parser


def run_part(options: Any) -> None:
    """Do one of the parts in this process, and print what it took."""
    torch.set_num_threads(options.threads)
    work = {"prepare": prepare, "step": take_step, "trial": run_trial}[options.part]
    started = time.perf_counter()
    with MemoryMeter() as memory:
        work(options)
    seconds = time.perf_counter() - started
    print(f"seconds {seconds:.1f}, own {memory.own_mb:.0f}, images {options.gigabytes * 1000:.0f}")


def prepare(options: Any) -> DataSet:
    """Return the data set, which is in the store then."""
    settings = DataSettings(f"synthetic:{options.gigabytes:g}", image_size=options.side, n_validation=64)
    return prepare_data(settings, open_store(options.home / "store"))[1]


def take_step(options: Any) -> None:
    """Train a network on a batch that is drawn from all images."""
    data = prepare(options)
    network = build_model("torchvision:resnet18", num_classes=N_CLASSES, image_size=options.side)
    drawn = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:16]
    settings = TrainingSettings(epochs=1, batch_size=16, augmentation="none")
    judge = lambda module: {"validation_error": 0.5}  # noqa: E731
    Trainer(network, data.train.take(drawn), settings, seed=0, judge=judge).train_epoch()


def run_trial(options: Any) -> None:
    """Rank, tune and test as the command does.

    Raises:
        SystemExit: it fails.
    """
    from pipelines.trial import command_line

    weights = options.home / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(models.resnet18(num_classes=N_CLASSES).state_dict(), weights)
    settings = (
        f"data.image_size={options.side}",
        "data.n_validation=64",
        "model.name=torchvision:resnet18",
        f"distortion.n_images={options.noisy}",
        f"rank.pairing={options.pairing}",
        "finetune.which=most",
        "finetune.layers=layer1",
        "finetune.training.epochs=1",
        "finetune.training.batch_size=16",
        "evaluate.corruptions=contrast",
        "evaluate.severities=3",
    )
    given = ["--dataset", f"synthetic:{options.gigabytes:g}", "--init", str(weights), "--home", str(options.home)]
    code = command_line([*given, "--threads", str(options.threads), "--set", *settings])
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
