"""What ranking costs: distances against plain loops over scipy and POT, and an exemplar of 40,000 images.

On one thread of an Intel Xeon with AVX-512 (torch 2.15, numpy 1.26, POT 0.9.7; best of three, each ratio of two timings
in one run, after both gave the same numbers): emd_1d is 11 to 19 times as fast as a loop over scipy at 16×16,
emd_spatial about 3 times as fast as a loop over ``ot.emd2`` at 8×8 to 32×32. The exemplar of 40,000 × 3,072 bytes takes
7 to 11 s for CIFAR-10's photographs and 19 to 22 s for the synthetic ones, where all sums take a minute, with 1 GiB for
the whole process.

Run: python benchmarks/ranking.py [--images 40000] [--features images.npy]
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from engine.ranking import filter_distances, find_exemplar
from engine.ranking.euclidean import summed_distances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40_000, help="images to find the exemplar of")
    parser.add_argument("--features", type=Path, help=".npy file of images to find it of, instead of synthetic ones")
    arguments = parser.parse_args()
    print(f"{cpu_name()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, numpy {np.__version__}")
    time_exemplar(arguments.images, arguments.features)  # first: it reports the peak memory of the process
    time_values()
    for size in (8, 16, 32):
        time_spatial(size)


def time_values() -> None:
    from scipy.stats import wasserstein_distance

    clean, noisy = maps(16, 32, 16)

    def loop() -> torch.Tensor:
        pairs = zip(clean.flatten(0, 1).flatten(1).numpy(), noisy.flatten(0, 1).flatten(1).numpy(), strict=True)
        return torch.tensor([wasserstein_distance(a, b) for a, b in pairs]).reshape(16, 32)

    def by_torch() -> torch.Tensor:
        return (clean.flatten(2).sort(dim=2).values - noisy.flatten(2).sort(dim=2).values).abs().mean(dim=2).double()

    def ours() -> torch.Tensor:
        return filter_distances(clean, noisy, "emd_1d")

    compare("emd_1d, 16×16", 512, {"scipy loop": loop, "torch.sort": by_torch, "emd_1d": ours}, tolerance=1e-5)


def time_spatial(size: int) -> None:
    import ot

    n_images, n_filters = (2, 4) if size > 16 else (8, 16)
    clean, noisy = maps(n_images, n_filters, size)
    positions = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).reshape(-1, 2) * 1.0
    ground = ot.dist(positions, positions, metric="euclidean")

    def shares(of: torch.Tensor) -> np.ndarray:
        mass = of.flatten(0, 1).flatten(1).double().numpy()
        return mass / mass.sum(axis=1, keepdims=True)

    def loop() -> torch.Tensor:
        pairs = zip(shares(clean), shares(noisy), strict=True)
        return torch.tensor([float(ot.emd2(a, b, ground)) for a, b in pairs]).reshape(n_images, n_filters)

    def ours() -> torch.Tensor:
        return filter_distances(clean, noisy, "emd_spatial")

    name = f"emd_spatial, {size}×{size}"
    exact = compare(name, n_images * n_filters, {"ot.emd2 loop": loop, "emd_spatial": ours}, tolerance=1e-6)
    for quick in ("sliced_emd", "sinkhorn"):
        found, seconds = best_of(3, lambda quick=quick: filter_distances(clean, noisy, quick))
        alike = np.corrcoef(found.flatten().numpy(), exact.flatten().numpy())[0, 1]
        print(
            f"  {quick:12} {1e3 * seconds / found.numel():9.4f} ms a pair, correlation with the exact one {alike:.3f}"
        )


def time_exemplar(n_images: int, file: Path | None) -> None:
    points = torch.from_numpy(np.load(file)).flatten(1) if file else synthetic_images(n_images)
    points = points[:n_images]
    few = points[:8000]
    sums = torch.stack([(few.float() - one.float()).norm(dim=1).double().sum() for one in few[:50]])
    if not torch.allclose(sums, summed_distances(few)[:50], rtol=1e-5):
        raise SystemExit("the sums of distances differ from the plain loop's")
    all_sums, plain_s = best_of(1, lambda: summed_distances(few).argmin())
    bounded, bounded_s = best_of(1, lambda: find_exemplar(few))
    if int(all_sums) != int(bounded):
        raise SystemExit("the exemplar is not the one of all sums")
    print(f"exemplar of {tuple(few.shape)}: all sums {plain_s:.2f} s, by bounds {bounded_s:.2f} s")
    for metric in ("euclidean", "hamming"):
        features = points > 127 if metric == "hamming" else points
        found, seconds = best_of(1, lambda features=features, metric=metric: find_exemplar(features, metric))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        held = points.numel() * points.element_size() / 2**30
        print(
            f"exemplar of {tuple(features.shape)} {features.dtype}, {metric}: {seconds:.1f} s, number {int(found)}; "
            f"peak memory of the process {peak:.2f} GiB, of which features {held:.2f}"
        )


def compare(title: str, n_pairs: int, ways: dict[str, Callable[[], torch.Tensor]], *, tolerance: float) -> torch.Tensor:
    """Time the ways to the same numbers, the first being the reference, and return them."""
    timed = {name: best_of(3, way) for name, way in ways.items()}
    (reference, reference_s), *others = timed.values()
    for found, _ in others:
        torch.testing.assert_close(found, reference.double(), rtol=tolerance, atol=tolerance)
    print(f"{title}, {n_pairs} pairs")
    for name, (_, seconds) in timed.items():
        print(f"  {name:12} {1e3 * seconds / n_pairs:9.4f} ms a pair, {reference_s / seconds:6.1f} × as fast")
    return reference


def best_of(n_runs: int, way: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """Return the result and the shortest of several timings, in seconds, after the first where there are several."""
    seconds = []
    for _ in range(n_runs + (n_runs > 1)):
        start = time.perf_counter()
        result = way()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def maps(n_images: int, n_filters: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return maps as after a convolution and a ReLU, and the same under noise."""
    generator = torch.Generator().manual_seed(0)
    field = torch.randn(n_images, n_filters, size + 2, size + 2, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(field, 3, stride=1) * 3
    noise = torch.randn(smooth.shape, generator=generator)
    return smooth.relu(), (smooth + 0.5 * noise).relu()


def synthetic_images(n_images: int) -> torch.Tensor:
    """Return ``(n, 3072)`` bytes: 3×32×32 images with a natural image's 1/f spectrum and their own contrast."""
    generator = torch.Generator().manual_seed(0)
    frequency = torch.hypot(torch.fft.fftfreq(32)[:, None], torch.fft.rfftfreq(32)[None])
    spectrum = frequency.clamp_min(1 / 32) ** -1.5
    images = torch.empty(n_images, 3072, dtype=torch.uint8)
    for start in range(0, n_images, 1000):
        n = min(1000, n_images - start)
        grey, colour = torch.randn(n, 1, 32, 32, generator=generator), torch.randn(n, 3, 32, 32, generator=generator)
        field = torch.fft.irfft2(torch.fft.rfft2(grey + 0.3 * colour) * spectrum, s=(32, 32))
        contrast = 20 + 50 * torch.rand(n, 1, 1, 1, generator=generator)
        field = 125 + contrast * field / field.std(dim=(1, 2, 3), keepdim=True)
        images[start : start + n] = field.clamp(0, 255).to(torch.uint8).flatten(1)
    return images


def cpu_name() -> str:
    """Return the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
