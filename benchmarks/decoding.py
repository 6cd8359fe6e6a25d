"""What it takes to decode a folder of JPEGs to 224 pixels, beside torchvision's DataLoader with two worker processes.

    python -m benchmarks.decoding [--images 2000] [--workers 2] [--rounds 3]

The JPEGs are crops of photographs, as large as most of ImageNet's (500×375). Both ways give the same bytes, which is
checked first. The engine's way is all that ``imagefolder:PATH`` does to a folder: every file is read, hashed and looked
at, so that what is wrong is told before anything is decoded, and then decoded into shards that are mapped. The other
one is an ``ImageFolder`` with ``Resize``, ``CenterCrop`` and ``PILToTensor`` behind a DataLoader whose batches go into
a tensor. Timed beside them, in the same turns and as many threads as the engine has, is what both run in any case:
libjpeg alone, and libjpeg with Pillow's resizing, alone. No way to the same bytes with them takes less.

Last comes what libjpeg's own halving (Pillow's draft mode) would save, and which pixels it would change. It is for
pictures twice as large as is asked for alone, so the same ones are tried at 1000×750.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.machine import describe_machine
from benchmarks.photographs import write_crops
from benchmarks.training import Taken, Work, show_best, time_in_turns
from engine.data import open_reader
from engine.data.image_net_folder import SIDE
from engine.data.parallel import in_order, n_threads
from engine.data.pictures import fit_as_usual
from engine.data.streamed import whole
from engine.settings import DataSettings
from engine.stages.stored_shards import allotted
from engine.store import open_store

PARTS = ("train", "val")
_KEY = "0123456789abcdef" * 2
_USUAL = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(SIDE), transforms.PILToTensor()])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each way takes, the ratio, and where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as a worker of a DataLoader has it; nothing here is torch's work
    print(f"{describe_machine()}, torch {torch.__version__}, {n_threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "images")
        n_test = max(options.images // 10, 10)
        write_crops(folder, {"train": options.images - n_test, "val": n_test}, size=(500, 375))
        paths = sorted(folder.rglob("*.jpg"))
        n_bytes = sum(path.stat().st_size for path in paths) / len(paths)
        print(f"{len(paths):,} JPEGs of 500×375, {n_bytes / 1000:.0f} kB each", flush=True)
        check_equal(by_engine(folder, Path(home), asked=True), by_loader(folder, 0))
        usual = f"DataLoader, {options.workers} workers"
        ways: dict[str, Work] = {
            "engine": partial(by_engine, folder, Path(home)),
            usual: partial(by_loader, folder, options.workers),
            "libjpeg alone": partial(alone, paths, loaded),
            "libjpeg and resizing alone": partial(alone, paths, fitted),
        }
        medians = time_in_turns(ways, options.rounds)
        show_best(medians, [usual])
        tell_shares(medians, usual)
        tell_of_draft(paths[:: max(1, len(paths) // 200)])
    print(describe_machine())


def by_engine(folder: Path, home: Path, *, asked: bool = False) -> list[Tensor]:
    """Decode a folder's images as the engine does, into shards of a store.

    Returns:
        Those of each part, uint8 (n, 3, side, side), if they are asked for.
    """
    with open_store(home / "store").attempt(_KEY) as attempt:
        raw = open_reader(DataSettings(name=f"imagefolder:{folder}")).read(partial(allotted, attempt))  # type: ignore[call-arg]
        return [whole(raw.train.images), whole(raw.test.images)] if asked else []


def by_loader(folder: Path, n_workers: int) -> list[Tensor]:
    """Return the same by torchvision."""
    parts = [ImageFolder(folder / part, _USUAL) for part in PARTS]
    everything = ConcatDataset(parts)
    found = torch.empty(len(everything), 3, SIDE, SIDE, dtype=torch.uint8)
    done = 0
    for images, _ in DataLoader(everything, 64, num_workers=n_workers):
        found[done : done + len(images)] = images
        done += len(images)
    return list(found.split([len(part) for part in parts]))


def check_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Check that two ways come to the same bytes.

    Raises:
        SystemExit: they do not.
    """
    for one, other in zip(ours, theirs, strict=True):
        if not torch.equal(one, other):
            raise SystemExit("the ways decode to other pixels")
    print(f"same bytes of {sum(map(len, ours)):,} images", flush=True)


def loaded(content: bytes) -> Image.Image:
    """Return a file's picture, decoded and no more."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def fitted(content: bytes) -> Image.Image:
    """Return a file's picture at its size and no more."""
    return fit_as_usual(loaded(content), SIDE)


def alone(paths: Sequence[Path], work: Callable[[bytes], Image.Image]) -> None:
    """Do some work on every file, with as many threads as the engine has."""
    for _ in in_order(lambda path: work(path.read_bytes()), paths, threads=n_threads()):
        pass


def tell_shares(medians: Mapping[str, Taken], usual: str) -> None:
    """Print what of each way is spent on what both share, and how much quicker the quickest way could be."""
    jpeg, both = (medians[way].cpu_s for way in ("libjpeg alone", "libjpeg and resizing alone"))
    for way in ("engine", usual):
        of = medians[way].cpu_s
        print(
            f"  {way}: libjpeg {jpeg / of:.0%} of its processor's seconds, resizing {(both - jpeg) / of:.0%}, "
            f"all else {1 - both / of:.0%}"
        )
    print(
        f"  {usual} takes {medians[usual].cpu_s / both:.2f} times the processor's seconds of libjpeg and resizing alone"
    )


def enlarged(path: Path) -> bytes:
    """Return a picture's JPEG at twice its width and height."""
    content = io.BytesIO()
    image = loaded(path.read_bytes())
    image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
    return content.getvalue()


def tell_of_draft(paths: Sequence[Path]) -> None:
    """Print what libjpeg's own halving would come to."""
    different, largest, total = 0, 0, 0
    seconds = dict.fromkeys(("whole", "halved"), 0.0)
    for path in paths:
        content = enlarged(path)
        started = time.process_time()
        exact = fitted(content)
        between = time.process_time()
        image = Image.open(io.BytesIO(content))
        image.draft("RGB", (SIDE, SIDE))
        halved = fit_as_usual(image, SIDE)
        seconds["halved"] += time.process_time() - between
        seconds["whole"] += between - started
        apart = np.abs(np.asarray(exact).astype(np.int16) - np.asarray(halved))
        different, largest, total = (
            different + int((apart > 0).sum()),
            max(largest, int(apart.max())),
            total + apart.size,
        )
    print(
        f"libjpeg's halving, of 1000×750: {seconds['whole'] / seconds['halved']:.2f} times as quick on one core, but "
        f"{different / total:.0%} of the bytes are others, by up to {largest} levels"
    )


if __name__ == "__main__":
    main()
