"""What a second trial's evaluation takes where corrupted sets were kept, and what workers hold of a data set's images.

    python -m benchmarks.kept_sets [--model resnet-20] [--images 1000] [--severities 3] [--threads 1] [--workers 2]
    python -m benchmarks.kept_sets --device cuda --images 10000 --severities 1 2 3 4 5

- Time: a network is tested on all corruptions of CIFAR-10-C, whose sets are kept, made anew, or lie in memory, so that
  nothing is left but the network's passes; in turns, with the same errors.
- Memory: workers load a data set of 32×32 images and test a network on one corrupted set of its test images, all at the
  same time, with sets kept and without. What each has of its own more than before is told, and what they have together
  if each page that several map is counted once.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import operator
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.machine import describe_machine
from benchmarks.processes import Processes
from benchmarks.training import N_CLASSES, SIDE, Work, make_network, make_split, time_in_turns
from engine.corruptions import CORRUPTIONS
from engine.data import READERS, RawData, Split, register_dataset
from engine.data.machine_sets import BOUND
from engine.machine_cache import FOLDER
from engine.metrics import classification_error, corrupted_split, errors_by_cell
from engine.models import build_model
from engine.settings import DataSettings
from engine.stages import data_getter, info_from_json, info_to_json, prepare_data
from engine.stages.corrupted_sets import corrupted_set
from engine.store import open_store

NAME, TABLE, CELL = "synthetic-small", "cifar-c", ("gaussian_noise", 3)
ANEW, PASSES = "sets made anew", "passes alone"
_LIMIT_S = 600.0


class Synthetic:
    """The reader of ``synthetic-small:N``: noise, N training images and a fifth of it for the test."""

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        self._n = int(argument or 0)

    def fingerprint(self) -> str:
        """Return a hash of how many images there are."""
        return hashlib.sha256(f"small {self._n}".encode()).hexdigest()[:32]

    def read(self) -> RawData:
        """Return the images."""
        draws = torch.Generator().manual_seed(0)
        splits = []
        for n in (self._n, self._n // 5):
            images = torch.randint(0, 256, (n, 3, SIDE, SIDE), dtype=torch.uint8, generator=draws)
            splits.append(Split(images, torch.arange(n) % 10, torch.arange(n)))
        return RawData(splits[0], splits[1], tuple(f"class {number}" for number in range(10)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet-20", help="the network that is tested")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--severities", type=int, nargs="+", default=[3])
    parser.add_argument("--corruptions", nargs="+", default=CORRUPTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help="where it is tested; memory is measured on CPUs alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="whose memory is measured; 0 for none")
    parser.add_argument("--train-images", type=int, default=50_000, help="of the workers' data set")
    options = parser.parse_args(arguments)
    print(f"{describe_machine()}, torch {torch.__version__}", flush=True)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        with sets_kept(Path(folder) / "time"):
            compare_time(options)
        if options.workers and options.device == "cpu":
            compare_memory(options, Path(folder))
    print(describe_machine())


@contextmanager
def sets_kept(folder: Path, gigabytes: float = 4.0) -> Iterator[None]:
    """Have sets kept in a folder meanwhile, here and in processes that are started."""
    with patch.dict(os.environ, {FOLDER: str(folder), BOUND: str(gigabytes)}):
        yield


def compare_time(options: Any) -> None:
    """Print what an evaluation takes.

    Raises:
        SystemExit: the ways come to other errors.
    """
    torch.manual_seed(0)
    network = build_model(options.model, num_classes=N_CLASSES, image_size=SIDE).to(memory_format=torch.channels_last)
    network = network.to(options.device)
    split = replace(make_split(options.images), origin="benchmark").to(options.device)
    cells = list(itertools.product(options.corruptions, options.severities))
    in_memory = {cell: corrupted_split(split, cell, seed=0, table=TABLE) for cell in cells}

    def errors(make: Any) -> dict[tuple[str, int], float]:
        return errors_by_cell(network, ((cell, make(split, cell, seed=0, table=TABLE)) for cell in cells))

    ways: dict[str, Work] = {
        "engine": lambda: errors(corrupted_set),
        ANEW: lambda: errors(corrupted_split),
        PASSES: lambda: errors_by_cell(network, in_memory.items()),
    }
    if len({str(work()) for work in ways.values()}) > 1:
        raise SystemExit("the ways come to other errors")
    where = f"{options.device}, {options.threads} thread(s)"
    print(f"\n{options.model} on {len(cells)} sets of {options.images} images, {where}")
    medians = time_in_turns(ways, options.rounds)
    kept = medians["engine"]
    of_anew, of_passes = (tuple(map(operator.truediv, kept, medians[way])) for way in (ANEW, PASSES))
    print(
        f"  same errors; a second trial's evaluation takes {of_anew[0]:.2f} of the time with sets made anew, "
        f"{of_anew[1]:.2f} of the processor's, and {of_passes[0]:.2f} of what its passes alone take"
    )


def compare_memory(options: Any, folder: Path) -> None:
    """Print what workers hold that have the same images."""
    if NAME not in READERS:
        register_dataset(NAME)(Synthetic)
    info, data = prepare_data(DataSettings(f"{NAME}:{options.train_images}"), open_store(folder / "store"))
    image_mb = sum(split.images.shape.numel() for split in (data.train, data.validation, data.test)) / 1e6
    del data
    print(f"\n{options.workers} workers with {image_mb:.0f} MB of images each", flush=True)
    for way, gigabytes in (("shared", 4.0), ("not shared", 0.0)):
        with sets_kept(folder / "memory", gigabytes):
            found = grown_in_processes(options.workers, (str(folder / "store"), info_to_json(info)))
        own, together = (sum(grown[of] for grown in found) for of in ("Anonymous", "Pss"))
        print(
            f"  {way}: {own / options.workers:.0f} MB more of its own each, {together:.0f} MB more all together, "
            f"{together / image_mb:.2f} of the images"
        )


def grown_in_processes(n: int, given: tuple[str, Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return what each of some processes that load a data set holds more than before, once all have loaded it."""
    with Processes(work, [given] * n, limit_s=_LIMIT_S) as processes:
        for _ in range(2):  # all are there, and then all have loaded it
            processes.hear()
            processes.tell("go on")
        found = processes.hear()
        processes.tell("all have been measured")
    return found


def work(end: Connection, store: str, info_json: Mapping[str, Any]) -> None:
    """Load a data set and test on it as a worker does; tell by how many MB each of Linux's sizes has grown."""
    torch.set_num_threads(1)
    network = make_network("resnet-20").eval()
    test_on(network, replace(make_split(512), origin=None))  # what kernels and passes take anyway
    end.send("ready")
    end.recv()
    before = sizes_mb()
    info = info_from_json(dict(info_json))
    data = data_getter(info, open_store(store), torch.device("cpu"))(info.key)
    test_on(network, data.test)
    end.send("loaded")
    end.recv()
    end.send({name: size - before[name] for name, size in sizes_mb().items()})
    end.recv()


def test_on(network: torch.nn.Module, split: Split) -> float:
    """Return a network's error on a corrupted set."""
    return classification_error(network, corrupted_set(split, CELL, seed=0, table=TABLE))


def sizes_mb() -> dict[str, float]:
    """Return {"Pss", "Anonymous", …: MB (10⁶ bytes)} of this process: a page of n processes counts as 1/n in "Pss"."""
    found = re.findall(r"^(\w+): +(\d+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return {name: int(size) * 1024 / 1e6 for name, size in found}


if __name__ == "__main__":
    main()
