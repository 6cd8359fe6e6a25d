"""What the last bits of torch's functions mean for C-bar's bytes, and what sines cost that are the same everywhere.

    python -m benchmarks.last_bits [--images 400] [--large-images 100]

Sines, cosines, their inverses and powers differ in the last bit between processors and versions of torch. Here that bit
is drawn at random: every value stays, or becomes the next one up or down, a third of the times each. Bytes that change
so are bytes that another machine may have otherwise.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.corruptions import smooth_images
from benchmarks.machine import describe_machine
from engine.corruptions import c_bar_lines, c_bar_shapes, c_bar_warps, corrupt
from engine.corruptions.c_bar_tables import CIFAR_C_BAR, IMAGENET_C_BAR
from engine.corruptions.sines import sine

SEVERITIES = (1, 3, 5)
FUNCTIONS = ("sin", "cos", "acos", "asin", "pow")
OWN = (
    (c_bar_warps, "sine"),
    *((module, name) for module in (c_bar_lines, c_bar_shapes) for name in ("sine", "cosine")),
)
"""Where sines are no longer torch's, which are taken as if they still were."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many bytes change, corruption by corruption, and what a sine takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400, help="of 32 pixels")
    parser.add_argument("--large-images", type=int, default=100, help="of 64 pixels, for ImageNet-C-bar")
    options = parser.parse_args(arguments)
    print(f"{describe_machine()}, torch {torch.__version__}", flush=True)
    torch.set_num_threads(1)
    for table, names, images in (
        ("cifar-c", CIFAR_C_BAR, smooth_images(options.images, 32)),
        ("imagenet-c", IMAGENET_C_BAR, smooth_images(options.large_images, 64)),
    ):
        for name in names:
            n_apart, most = bytes_apart(images, name, table)
            n_bytes = len(SEVERITIES) * images.numel()
            print(f"{table:11}{name:32}{n_apart:8} of {n_bytes:,} bytes change, by {most} at most", flush=True)
    values = 70 * torch.rand(640_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, theirs = (min(seconds(function, values) for _ in range(5)) for function in (sine, torch.sin))
    print(f"{len(values):,} sines: {ours:.3f} s, torch's {theirs:.3f} s, {ours / theirs:.0f} times as long")


def bytes_apart(images: Tensor, name: str, table: str) -> tuple[int, int]:
    """Return how many bytes change by the last bits, over all severities, and by how many levels at most."""
    n_apart = most = 0
    for severity in SEVERITIES:
        expected = corrupt(images, name, severity, seed=0, table=table).int()
        with last_bits_drawn():
            apart = (corrupt(images, name, severity, seed=0, table=table).int() - expected).abs()
        n_apart, most = n_apart + int((apart > 0).sum()), max(most, int(apart.max()))
    return n_apart, most


@contextmanager
def last_bits_drawn() -> Iterator[None]:
    """Have the functions' last bits be random meanwhile."""
    draws = torch.Generator().manual_seed(5)

    def inexact(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*given: Any) -> Tensor:
            value = function(*given)
            step = torch.randint(-1, 2, value.shape, generator=draws)
            ends = (value.nextafter(torch.full_like(value, end)) for end in (math.inf, -math.inf))
            return torch.where(step > 0, next(ends), torch.where(step < 0, next(ends), value))

        return drawn

    with ExitStack() as stack:
        for owner, name in (*((Tensor, name) for name in FUNCTIONS), *OWN):
            stack.enter_context(patch.object(owner, name, inexact(getattr(owner, name))))
        yield


def seconds(function: Callable[[Tensor], Tensor], values: Tensor) -> float:
    """Return the processor's seconds of a call."""
    began = time.process_time()
    function(values)
    return time.process_time() - began


if __name__ == "__main__":
    main()
