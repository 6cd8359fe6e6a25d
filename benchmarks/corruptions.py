"""How long the corruptions take, beside plain NumPy and Pillow loops over images in the same run.

    python -m benchmarks.corruptions --n 1000 --device cpu [--reference-timing cifar_c_timing.json]

On one thread of an AMD EPYC (torch 2.14), nothing else running, all 95 sets take 3.8 s per 1,000 images, a 33rd of
the reference's CPU seconds (measured on another machine); the least gain is spatter's, 3.2 times. The plain loops of
the same run take 1.3 times (impulse_noise) to 305 times (frost) as long as the engine. Nothing was run on a GPU yet.

The plain versions first have to give the same bytes for the same draws. The flag's file holds the CPU seconds of the
benchmark's own code, per 1,000 images and severity: {"cpu_s_per_1000": {name: [five numbers]}}.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from benchmarks.plain_corruptions import PLAIN, EngineDraws, NumpyDraws, has_plain
from engine.corruptions import CORRUPTIONS, corrupt, frost_source, severity_constants


def smooth_images(n: int, side: int) -> torch.Tensor:
    """Return blurred noise, uint8 (n, 3, side, side): something like pictures, without a data set."""
    noise = np.random.default_rng(0).standard_normal((n, 3, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, 0.5, 2, 2), mode="wrap")
    return torch.from_numpy(np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8))


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the best CPU time of a few runs (wall time on a GPU)."""
    best = math.inf
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for _ in range(repeats):
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return best


def check_equal(name: str, severity: int, images: torch.Tensor) -> None:
    ours = corrupt(images, name, severity, seed=0).permute(0, 2, 3, 1).cpu().numpy()
    constants = severity_constants(name, severity)
    pictures = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    plain = [PLAIN[name](picture, constants, EngineDraws(name, severity, i)) for i, picture in enumerate(pictures)]
    difference = np.abs(ours.astype(int) - np.stack(plain))
    if difference.max() > 1 or (difference > 0).mean() > 1e-4:
        raise SystemExit(f"{name}/{severity}: differs from the plain version by {difference.max()}")
    print(f"{name}/{severity}: {int((difference > 0).sum())} of {difference.size} bytes differ from the plain version")


def compare(images: torch.Tensor, severities: list[int], n_plain: int) -> None:
    device = images.device
    for name in PLAIN:
        for severity in filter(partial(has_plain, name), severities):
            check_equal(name, severity, images[: min(20, len(images))])
    print(f"\n{'per 1,000 images':20} {'plain s':>9} {'engine s':>9} {'ratio':>7}")
    for name, plain in PLAIN.items():
        pictures = images[:n_plain].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        for severity in filter(partial(has_plain, name), severities):
            constants = severity_constants(name, severity)
            before = seconds(
                lambda: [plain(picture, constants, NumpyDraws()) for picture in pictures],  # noqa: B023
                torch.device("cpu"),
                1,
            )
            after = seconds(lambda: corrupt(images, name, severity, seed=0), device, 3)  # noqa: B023
            before, after = before / len(pictures) * 1000, after / len(images) * 1000
            print(f"{name + '/' + str(severity):20} {before:9.3f} {after:9.3f} {before / after:7.1f}")


def totals(images: torch.Tensor, severities: list[int], reference: dict[str, list[float]] | None) -> None:
    print(f"\n{'s per 1,000 images':20} {'engine':>9}" + (f" {'reference':>9} {'ratio':>7}" if reference else ""))
    total, total_reference = 0.0, 0.0
    for name in CORRUPTIONS:
        mine = theirs = 0.0
        for severity in severities:
            mine += seconds(lambda: corrupt(images, name, severity, seed=0), images.device, 2)  # noqa: B023
            theirs += reference[name][severity - 1] if reference else 0.0
        mine = mine / len(images) * 1000
        total, total_reference = total + mine, total_reference + theirs
        print(f"{name:20} {mine:9.3f}" + (f" {theirs:9.3f} {theirs / mine:7.1f}" if reference else ""))
    print(
        f"{'total':20} {total:9.3f}" + (f" {total_reference:9.3f} {total_reference / total:7.1f}" if reference else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="images for the engine")
    parser.add_argument("--n-plain", type=int, default=50, help="images for the plain loops")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--severities", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--reference-timing", type=Path)
    options = parser.parse_args()
    images = smooth_images(options.n, options.side).to(options.device)
    print(
        f"{platform.machine()}, torch {torch.__version__}, {options.device}, {torch.get_num_threads()} thread(s), "
        f"{options.n} images of {options.side}×{options.side}, frost: {frost_source().key}\n"
    )
    compare(images, options.severities, min(options.n, options.n_plain))
    reference = None
    if options.reference_timing:
        reference = json.loads(options.reference_timing.read_text())["cpu_s_per_1000"]
    totals(images, options.severities, reference)


if __name__ == "__main__":
    main()
