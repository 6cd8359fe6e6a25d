"""What an epoch of training takes, beside the usual loop around a DataLoader of torchvision's transforms.

    python -m benchmarks.training [--threads 1 2] [--workers 0 1 2] [--rounds 3]
    python -m benchmarks.training --device cuda --threads 1 --workers 0 4 8 16 --steps 391 --capture-steps

Both train the same network from the same weights with the same optimiser, on crops and flips of the same images, in the
same run and in turns. The usual loop draws, crops and flips one image after the other, in as many worker processes as
suit it best: every count is tried, and the best one is what the engine is held against. It is timed as it is mostly
written, and again with the network and its images laid out channels last, which is most of what a reader of torch's
tuning guide would add. That both see the same numbers is checked first: pixels as floats, crops and flips for the same
draws, and the loss of a step on the same batch.

On a GPU the usual loop has its batches pinned and copied asynchronously, and its passes in the engine's precision.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional as TF

from benchmarks.corruptions import smooth_images
from benchmarks.machine import descendants_cpu_s, describe_machine
from engine.data import Split, apply_crop_flips
from engine.data.augment import CropFlips
from engine.heap import keep_freed_memory
from engine.metrics import as_input
from engine.models import build_model
from engine.precision import PRECISIONS, computing_in, in_full, network_pass
from engine.settings import TrainingSettings
from engine.training import Trainer
from engine.training.captured import Capturing
from engine.training.compiled import Compiling

SIDE, N_CLASSES, MARGIN = 32, 10, 4
CPU = torch.device("cpu")
NETWORKS: Mapping[str, dict[str, Any] | None] = {
    "resnet-20": None,
    "resnet-20-PP": {"where": "first", "h": 2.0, "alpha": 1.0},
}
"""{name: push–pull settings}."""
Work = Callable[[], object]
CHANNELS_LAST = ", channels last"
BY_ITSELF = 2**26
"""What glibc comes to keep of freed memory where it is not told, and so in the usual loop."""


class Taken(NamedTuple):
    """What some work takes: seconds that pass, and seconds of the processor, of all its processes.

    On a machine that does other work as well the latter tell more.
    """

    wall_s: float
    cpu_s: float


class Pictures(Dataset[tuple[Any, int]]):
    """Images one at a time, as torchvision's own data sets give them, each cropped and flipped by its transforms.

    Args:
        split: the images.
        augment: whether they are cropped and flipped.
    """

    def __init__(self, split: Split, *, augment: bool = True) -> None:
        self._pictures = [TF.to_pil_image(image) for image in split.images]
        self._labels = split.labels.tolist()
        random = [transforms.RandomCrop(SIDE, MARGIN, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
        self._transform = transforms.Compose([*(random if augment else []), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self._transform(self._pictures[index]), self._labels[index]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each loop takes for an epoch, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="of the usual loop")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="time the engine's compiled passes as well")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=list(PRECISIONS), help="of both loops' passes")
    parser.add_argument("--capture-steps", action="store_true", help="time the engine's recorded steps as well (GPUs)")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here")
    if options.capture_steps and options.device == "cpu":
        parser.error("--capture-steps is for GPUs")
    print(f"{describe_machine()}, torch {torch.__version__}{card(options.device)}", flush=True)
    split = make_split(options.steps * options.batch_size)
    for name in options.networks:
        check_equal(name, split)
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name in options.networks:
            with computing_in(options.precision, options.device):
                compare(name, split, options)
    print(describe_machine())


def card(device: str) -> str:
    """Return the GPU in words, to be added to a line about the machine; "" on CPUs."""
    return f", CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}" if device == "cuda" else ""


def make_split(n: int) -> Split:
    """Return images that look a little like pictures, with labels at random."""
    labels = torch.randint(0, N_CLASSES, (n,), generator=torch.Generator().manual_seed(0))
    return Split(smooth_images(n, SIDE), labels, torch.arange(n))


def make_network(name: str, *, depth: int = 20, channels_last: bool = True) -> nn.Module:
    """Return a network, the same weights each time."""
    torch.manual_seed(0)
    network = build_model(f"resnet-{depth}", num_classes=N_CLASSES, image_size=SIDE, push_pull=NETWORKS[name])
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return network.to(memory_format=layout)


def make_optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of both loops."""
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)


def check_equal(name: str, split: Split) -> None:
    """Check that both loops see the same numbers, and come to the same loss.

    Raises:
        SystemExit: they do not.
    """
    some = Split(split.images[:32], split.labels[:32], split.indices[:32])
    ours = as_input(some.images)
    theirs = torch.stack([image for image, _ in Pictures(some, augment=False)])
    if not torch.equal(ours, theirs):
        raise SystemExit("the loops see other pixels")
    draws = torch.Generator().manual_seed(1)
    down, right = torch.randint(0, 2 * MARGIN + 1, (2, len(some)), generator=draws)
    flip = torch.randint(0, 2, (len(some),), generator=draws)
    cropped = apply_crop_flips(some.images, CropFlips(down, right, flip))
    for image, found, place in zip(some.images, cropped, zip(down, right, flip, strict=True), strict=True):
        padded = TF.pad(TF.to_pil_image(image), [MARGIN], padding_mode="reflect")
        expected = TF.crop(padded, int(place[0]), int(place[1]), SIDE, SIDE)
        expected = TF.hflip(expected) if place[2] else expected
        if not torch.equal(found, TF.pil_to_tensor(expected)):
            raise SystemExit("the loops crop and flip otherwise")
    losses = [
        F.cross_entropy(make_network(name, channels_last=last).train()(images), some.labels).item()
        for last, images in ((True, ours), (False, theirs))
    ]
    if not math.isclose(*losses, rel_tol=1e-5):
        raise SystemExit(f"the loops come to other losses: {losses}")
    print(f"{name}: same pixels, crops and flips; loss of a step {losses[0]:.6f} and {losses[1]:.6f}", flush=True)


def compare(name: str, split: Split, options: argparse.Namespace) -> None:
    """Print what an epoch of each loop takes, in turns, and how much longer the usual one takes than the engine's.

    Args:
        name: of the network.
        split: what it is trained on.
        options: of the command line.
    """
    device, batch_size = torch.device(options.device), options.batch_size
    here = split.to(device)
    ways: dict[str, Work] = {"engine": engine_loop(name, here, batch_size)}
    compiling, capturing = Compiling(name), Capturing(name)
    if options.compile:
        ways["engine, compiled"] = engine_loop(name, here, batch_size, compiling=compiling)
    if options.capture_steps:
        ways["engine, captured"] = engine_loop(name, here, batch_size, capturing=capturing)
    for n_workers in options.workers:
        for last in (False, True):
            ways[f"DataLoader, {n_workers} workers{CHANNELS_LAST * last}"] = usual_loop(
                name, split, batch_size, n_workers, channels_last=last, device=device
            )
    print(
        f"\n{name}, {torch.get_num_threads()} thread(s), batch {batch_size}, {options.precision}, {len(split)} images "
        "an epoch"
    )
    medians = time_in_turns(ways, options.rounds)
    quickest = min((way for way in ways if way.startswith("engine")), key=lambda way: medians[way].wall_s)
    print(f"  {quickest}: {1e3 * medians[quickest].wall_s / options.steps:.3f} ms a step")
    if options.compile:
        print(f"  compiled: {compiling.described()}")
    if options.capture_steps:
        print(f"  captured: {capturing.described()}")
    for layout in ("", CHANNELS_LAST):
        usual = [way for way in ways if not way.startswith("engine") and (CHANNELS_LAST in way) == bool(layout)]
        show_best(medians, usual, layout)


def time_in_turns(ways: Mapping[str, Work], rounds: int) -> dict[str, Taken]:
    """Print and return the medians of what each way takes, after a turn that does not count."""
    found: dict[str, list[Taken]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, work in ways.items():
            taken = timed(work)
            if turn:  # in the first one kernels are chosen and memory is taken
                found[way].append(taken)
    medians = {way: Taken(*map(statistics.median, zip(*all_, strict=True))) for way, all_ in found.items()}
    engine = medians["engine"]
    print(f"  {'medians of ' + str(rounds):36}{'s':>8}{'ratio':>7}{'processor s':>13}{'ratio':>7}")
    for way, (wall_s, cpu_s) in medians.items():
        ratios = wall_s / engine.wall_s, cpu_s / max(engine.cpu_s, 0.01)
        print(f"  {way:36}{wall_s:8.2f}{ratios[0]:7.2f}{cpu_s:13.2f}{ratios[1]:7.2f}", flush=True)
    return medians


def show_best(medians: Mapping[str, Taken], usual: Sequence[str], what: str = "") -> None:
    """Print which of the usual ways is the quickest, and how much longer it takes than the engine's."""
    best = min(usual, key=lambda way: medians[way].wall_s)
    ratios = [mine / max(engine, 0.01) for mine, engine in zip(medians[best], medians["engine"], strict=True)]
    print(f"  best{what}: {ratios[0]:.2f} of the engine's time, {ratios[1]:.2f} of its processor's ({best})")


def engine_loop(
    name: str,
    split: Split,
    batch_size: int,
    *,
    compiling: Compiling | None = None,
    capturing: Capturing | None = None,
) -> Work:
    """Return an epoch of the engine's, as a stage takes it, without the validation after it, where its images lie."""
    settings = TrainingSettings(
        epochs=1_000,
        batch_size=batch_size,
        optimizer="sgd",
        learning_rate=0.05,
        schedule="constant",
        weight_decay=5e-4,
        augmentation="crop-flip",
    )
    trainer = Trainer(
        make_network(name).to(split.labels.device),
        split,
        settings,
        seed=0,
        judge=lambda module: {"validation_error": 0.5},
        compiling=compiling,
        capturing=capturing,
    )

    def epoch() -> None:
        keep_freed_memory()  # as workers and commands do
        trainer.train_epoch()
        keep_freed_memory(BY_ITSELF)

    return epoch


def usual_loop(
    name: str,
    split: Split,
    batch_size: int,
    n_workers: int,
    *,
    channels_last: bool,
    device: torch.device = CPU,
) -> Work:
    """Return an epoch of the usual loop. Its workers live on, as it would have them do."""
    network = make_network(name, channels_last=channels_last).to(device).train()
    optimizer = make_optimizer(network)
    loader = DataLoader(
        Pictures(split),
        batch_size,
        shuffle=True,
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
        pin_memory=device.type == "cuda",
    )

    def epoch() -> None:
        total = torch.zeros((), device=device)
        for on_host, labels_on_host in loader:
            images, labels = on_host.to(device, non_blocking=True), labels_on_host.to(device, non_blocking=True)
            with network_pass(device):
                logits = network(laid_out(images, channels_last))
            loss = F.cross_entropy(in_full(logits), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(labels)
        if not math.isfinite(float(total)):
            raise SystemExit(f"the loss of the usual loop became {float(total)}")

    return epoch


def laid_out(images: Tensor, channels_last: bool) -> Tensor:
    """Return images as a loop has them."""
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def timed(work: Work) -> Taken:
    """Return what some work takes."""
    _wait()
    wall, cpu = time.perf_counter(), processor_s()
    work()
    _wait()
    return Taken(time.perf_counter() - wall, processor_s() - cpu)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def processor_s() -> float:
    """Return the processor's seconds of this process and of those that it has started, so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(descendants_cpu_s().values())


if __name__ == "__main__":
    main()
