"""A whole trial at 224 pixels: how long it takes, in how much memory, and that streaming changes no number.

    python -m benchmarks.large_images [--crops 300] [--threads 2]

A ResNet-18 of torchvision's on crops of the photographs that scikit-image and scikit-learn bring along, in the layout
``imagefolder``: ranked, a quarter of ``layer1`` tuned, and tested under four corruptions at five severities, all by
``python -m pipelines.trial``. No published weights are needed: the network is trained on the same crops first, by a
usual loop of torch's, as long as it takes to err on few of them, and saved as torchvision publishes weights. What that
takes is told, and no part of the trial's.

The trial runs twice, each time in a process of its own with an empty store: streamed from the shards, as a CPU has them
in any case, and with all images held in memory. The numbers must be the same to the last digit.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from benchmarks.machine import describe_machine
from benchmarks.memory import MemoryMeter
from benchmarks.photographs import write_crops
from engine.data.image_net_folder import SIDE

CORRUPTIONS = "gaussian_noise,motion_blur,fog,jpeg_compression"
SETTINGS = (
    "data.validation_fraction=0.2",
    "model.name=torchvision:resnet18",
    "finetune.which=most",
    "finetune.layers=layer1",
    "finetune.fraction=0.25",
    "finetune.training.batch_size=16",
)
AS_PUBLISHED = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which mean and standard deviation torchvision's networks have images normalised."""
_TOLD = re.compile(r"seconds ([0-9.]+), processor ([0-9.]+), own (\d+), resident (\d+)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the trial takes, streamed and from memory."""
    options = _parser().parse_args(arguments)
    if options.trial is not None:
        run_trial(options)
        return
    print(f"{describe_machine()}, torch {torch.__version__}", flush=True)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as home:
        folder, weights = Path(home, "images"), Path(home, "resnet18.pth")
        write_crops(folder, {"train": options.crops * 2 // 3, "val": options.crops - options.crops * 2 // 3})
        make_weights(folder / "train", weights, side=options.side // 2, epochs=options.epochs)
        taken = {}
        for way in ("streamed", "in memory"):
            own = [
                f"--home={Path(home, way)}",
                f"--threads={options.threads}",
                f"--side={options.side}",
                f"--crops={options.crops}",
            ]
            command = [sys.executable, "-m", "benchmarks.large_images", "--trial", way, *own, str(folder), str(weights)]
            printed = in_own_process(command)
            if not taken:
                print(printed, flush=True)
            told = _TOLD.search(printed)
            assert told is not None
            taken[way] = tuple(map(float, told.groups()))
        compare(taken, *(Path(home, way, "errors.csv").read_text() for way in taken))
    print(describe_machine())


def in_own_process(command: Sequence[str]) -> str:
    """Run a command and return what it prints.

    Raises:
        SystemExit: it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=300, help="two thirds of them to train on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4, help="of the training of the weights")
    parser.add_argument("--side", type=int, default=SIDE, help=argparse.SUPPRESS)
    parser.add_argument("--trial", help=argparse.SUPPRESS)  # what follows is of the process that runs it
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("places", nargs="*", help=argparse.SUPPRESS)
    return parser


def make_weights(train: Path, place: Path, *, side: int, epochs: int) -> None:
    """Train a ResNet-18 on crops at half the side, and save its weights as published ones are."""
    started = time.perf_counter()
    torch.manual_seed(0)
    fit = [transforms.Resize(side * 8 // 7), transforms.CenterCrop(side)]
    usual = transforms.Compose([*fit, transforms.ToTensor(), transforms.Normalize(*AS_PUBLISHED)])
    pictures = ImageFolder(train, usual)
    network = models.resnet18(num_classes=len(pictures.classes)).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    wrong = 0
    for _ in range(epochs):
        wrong = 0
        for images, labels in DataLoader(pictures, 32, shuffle=True, drop_last=len(pictures) > 32):
            logits = network(images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            wrong += int((logits.argmax(1) != labels).sum())
    torch.save(network.state_dict(), place)
    seconds = time.perf_counter() - started
    last = f"{wrong} of {len(pictures)} wrong in the last"
    print(f"weights of {epochs} epochs at {side} pixels: {last}, {seconds:.0f} s", flush=True)


def run_trial(options: Any) -> None:
    """Run the trial in this process, and print what it took."""
    from engine.data.streamed import StreamedImages
    from pipelines.trial import command_line

    folder, weights = options.places
    if options.trial != "streamed":
        StreamedImages.to = StreamedImages.resident  # type: ignore[method-assign]
    table = "imagenet-c" if options.side == SIDE else "cifar-c"
    settings = [
        *SETTINGS,
        f"evaluate.corruptions={CORRUPTIONS}",
        f"distortion.n_images={options.crops // 3}",
        f"data.image_size={options.side}",
        f"evaluate.table={table}",
    ]
    given = ["--dataset", f"imagefolder:{folder}", "--init", weights, "--threads", str(options.threads)]
    written = ["--home", str(options.home), "--errors", str(options.home / "errors.csv")]
    options.home.mkdir()
    started, used = time.perf_counter(), time.process_time()
    with MemoryMeter() as memory:
        code = command_line([*given, *written, "--set", *settings])
    seconds, processor_s = time.perf_counter() - started, time.process_time() - used
    if code:
        raise SystemExit(code)
    held = f"own {memory.own_mb:.0f}, resident {memory.resident_mb:.0f}"
    print(f"seconds {seconds:.1f}, processor {processor_s:.1f}, {held}")


def compare(taken: dict[str, tuple[float, ...]], streamed: str, in_memory: str) -> None:
    """Print what both ways took.

    Raises:
        SystemExit: they come to other errors.
    """
    if streamed != in_memory:
        raise SystemExit(f"streamed images come to other errors:\n{streamed}\n{in_memory}")
    for way, (seconds, processor_s, own, resident) in taken.items():
        print(
            f"{way:10} {seconds:6.1f} s end to end, {processor_s:.1f} s of the processor; at most {own / 1000:.2f} GB "
            f"of memory of its own, {resident / 1000:.2f} GB with mapped files"
        )
    wall, cpu = (taken["in memory"][of] / taken["streamed"][of] for of in (0, 1))
    print(
        f"same errors in all {len(streamed.split()) - 1} cells; streamed at {wall:.2f} of the speed from memory, "
        f"{cpu:.2f} by the processor's seconds"
    )


if __name__ == "__main__":
    main()
