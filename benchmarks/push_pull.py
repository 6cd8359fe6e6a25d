"""What a push–pull layer costs: its time as a ratio to the plain convolution's, measured in turns in one run.

Training steps on one CPU thread (Xeon, torch 2.15; medians of 15 × 5 calls beside other work: trust the first digit).
At h = 1 the layer costs 1.0–1.3 plain convolutions, since one convolution is enough. At h = 2 (3×3 → 7×7) a layer costs
3–4.5, and the whole resnet-8 1.06 plain ones with its first layer replaced, 1.9 with "first_block", 3.4 with "all". Two
convolutions written out cost the same within 20 %. One convolution of concatenated kernels costs 1.2–1.7 times that for
3×3 kernels, and up to a fifth less for LeNet's 5×5: hence two convolutions in the layer.

Run: python benchmarks/push_pull.py [--device cuda] [--repeats 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.layers import PushPull2d
from engine.models import build_model

CALLS_PER_REPEAT = 5


class Case(NamedTuple):
    """A convolution and its input."""

    label: str
    in_channels: int
    out_channels: int
    kernel_size: int
    side: int
    batch: int


CASES = (
    Case("digits, first layer", 1, 16, 3, 16, 64),
    Case("CIFAR, first layer", 3, 16, 3, 32, 64),
    Case("MNIST, first layer of LeNet", 1, 6, 5, 28, 64),
    Case("inner layer", 16, 16, 3, 16, 64),
)
FACTORS = (1.0, 1.5, 2.0, 3.0)


def pad_and_concatenate(layer: PushPull2d, images: Tensor) -> Tensor:
    """Respond with one convolution, of the push kernel, padded to the pull kernel's size, and the pull kernel."""
    margin = (layer.pull_kernel_size[0] - layer.kernel_size[0]) // 2
    weight = torch.cat((F.pad(layer.weight, (margin,) * 4), layer.pull_weight))
    push, pull = F.conv2d(images, weight, padding=layer.pull_kernel_size[0] // 2).chunk(2, dim=1)
    return push.relu() - pull.relu()


def convolve_twice(layer: PushPull2d, images: Tensor) -> Tensor:
    """Respond with two convolutions and torch's own upsampling."""
    size = layer.pull_kernel_size[0]
    wide = F.interpolate(layer.weight, size=size, mode="bilinear", align_corners=True)
    push = F.conv2d(images, layer.weight, padding=layer.kernel_size[0] // 2)
    pull = F.conv2d(images, -wide, padding=size // 2)
    return push.relu() - pull.relu()


def time_in_turns(functions: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Return the median seconds of one call of each function; they take turns, so that other work harms all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 2):
        for name, function in functions.items():
            synchronise(device)
            start = time.perf_counter()
            for _ in range(CALLS_PER_REPEAT):
                function()
            synchronise(device)
            if repeat >= 2:  # the first ones warm up
                seconds[name].append((time.perf_counter() - start) / CALLS_PER_REPEAT)
    return {name: statistics.median(values) for name, values in seconds.items()}


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def train_step(respond: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], None]:
    return lambda: respond(images).sum().backward()


def measure_layer(case: Case, h: float, repeats: int, device: str) -> dict[str, float]:
    """Return the ratios of a training step (forward and backward) to the plain convolution's."""
    plain = nn.Conv2d(
        case.in_channels, case.out_channels, case.kernel_size, padding=case.kernel_size // 2, bias=False
    ).to(device)
    layer = PushPull2d.from_convolution(plain, h=h)
    images = torch.rand(case.batch, case.in_channels, case.side, case.side, device=device)
    times = time_in_turns(
        {
            "plain": train_step(plain, images),
            "push–pull": train_step(layer, images),
            "two convolutions": train_step(lambda x: convolve_twice(layer, x), images),
            "one, concatenated": train_step(lambda x: pad_and_concatenate(layer, x), images),
        },
        repeats,
        device,
    )
    return {name: seconds / times["plain"] for name, seconds in times.items()}


def measure_network(repeats: int, device: str) -> dict[str, float]:
    """Return the ratios of a training step of resnet-8 on 16×16 images, batch 64, to the plain network's."""
    arms = {where: {"where": where, "h": 2.0} for where in ("none", "first", "first_block", "all")}
    images = torch.rand(64, 1, 16, 16, device=device)
    steps = {
        where: train_step(
            build_model("resnet-8", num_classes=10, in_channels=1, image_size=16, push_pull=arm).to(device), images
        )
        for where, arm in arms.items()
    }
    times = time_in_turns(steps, repeats, device)
    return {where: seconds / times["none"] for where, seconds in times.items()}


def show(label: str, ratios: dict[str, float]) -> None:
    print(f"{label:40s}" + "  ".join(f"{name} {ratio:5.2f}" for name, ratio in ratios.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time push–pull layers against plain convolutions.")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} thread(s); training-step ratios")
    for case in CASES:
        for h in FACTORS:
            show(f"{case.label}, h = {h:g}", measure_layer(case, h, options.repeats, options.device))
    show("resnet-8, h = 2", measure_network(options.repeats, options.device))


if __name__ == "__main__":
    main()
