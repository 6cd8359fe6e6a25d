"""What ranking costs: distances against plain loops over scipy and POT, and an exemplar of 40,000 images.

Measured on two cores of an AMD EPYC (AVX-512; torch 2.14.1, numpy 1.26.4, POT 0.9.7), nothing else running; the ways
gave the same numbers first. On one thread emd_1d is 26 times as fast as a loop over scipy at 1,000 × 32 × 16×16, and
emd_spatial 2.9, 2.9 and 3.5 times as fast as a loop over ``ot.emd2`` at 8×8, 16×16 and 32×32; on two threads 5.1 and
6.6 times at 16×16 and 32×32. Maps of 8×8 get one thread only.

Filters ranked by Borda over 24 photographs, with the 32×32 maps of a cnn-2 trained on CIFAR-10 saved as JPEG: Spearman
with the exact ranking is 0.989 to 0.996 for sliced_emd and 0.960 to 0.985 for sinkhorn, under three distortions (0.985
to 0.996 and 0.968 to 0.990 over 12 photographs). l1 does not rank alike: −0.47 to −0.02. On a processor sinkhorn takes
longer than the exact distance (3.7 to 4.3 ms a pair against 1.4 to 1.8), sliced_emd a thirtieth of it (0.05 ms).

The exemplar of 40,000 × 3,072 bytes takes 4.4 s for the photographs and 12 s for synthetic images, and 1.4 GiB for the
whole process, both sets of images included. Nothing was run on a GPU yet.

Run: python -m benchmarks.ranking [--photographs FOLDER] [--device cuda] [--only-values]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from engine.corruptions import distort
from engine.models import build_model
from engine.ranking import activation_maps, compare_rankings, distances, filter_distances, find_exemplar, rank_filters
from engine.ranking.euclidean import summed_distances
from engine.ranking.spatial import ground_distances, unit_mass

Ways = dict[str, Callable[[], torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40_000, help="images to find the exemplar of")
    parser.add_argument("--photographs", type=Path, help="folder with train/CLASS/ and test/CLASS/ of 32×32 images")
    parser.add_argument("--only-values", action="store_true", help="time emd_1d alone, without POT")
    parser.add_argument("--device", default="cpu", help="where emd_1d and the approximations are timed as well")
    arguments = parser.parse_args()
    n_threads = torch.get_num_threads()
    print(f"{cpu_name()}, {n_threads} thread(s), load {os.getloadavg()[0]:.1f}")
    pot = "" if arguments.only_values else f", POT {_pot().__version__}"
    print(f"torch {torch.__version__}, numpy {np.__version__}{pot}")
    if arguments.only_values:
        time_values(arguments.device, n_threads)
        return
    sets = {"synthetic images": synthetic_images(arguments.images)}
    if arguments.photographs:
        sets["photographs"] = read_photographs(arguments.photographs / "train", arguments.images)[0].flatten(1)
    time_exemplars(sets)  # first: it reports the peak memory of the process
    time_values(arguments.device, n_threads)
    for size, n_images in ((8, 16), (16, 4), (32, 1)):
        time_spatial(size, n_images, n_threads)
    compare_approximations(arguments.photographs, arguments.device)


def time_values(device: str, n_threads: int) -> None:
    """Time emd_1d on 1,000 images × 32 filters × 16×16 and × 8×8, and what else could sort."""
    torch.set_num_threads(1)
    for size in (16, 8):
        time_sorting(device, size)
    torch.set_num_threads(n_threads)


def time_sorting(device: str, size: int) -> None:
    """Time emd_1d and other ways to it, on one thread of the processor, and on another device.

    That of the engine sorts keys alone, by numpy, and larger maps' zeros apart; torch sorts their places with them.
    """
    from scipy.stats import wasserstein_distance

    clean, noisy = synthetic_maps(1000, 32, size)
    there = [maps.to(device) for maps in (clean, noisy)]

    def loop() -> torch.Tensor:
        pairs = zip(clean.flatten(0, 1).flatten(1).numpy(), noisy.flatten(0, 1).flatten(1).numpy(), strict=True)
        return torch.tensor([wasserstein_distance(a, b) for a, b in pairs]).reshape(1000, 32)

    def by_torch() -> torch.Tensor:
        return (clean.flatten(2).sort(dim=2).values - noisy.flatten(2).sort(dim=2).values).abs().mean(dim=2).double()

    def with_zeros_apart(from_values: int) -> torch.Tensor:
        with patch.object(distances, "_FEW_VALUES", from_values):
            return filter_distances(clean, noisy, "emd_1d")

    ways: Ways = {
        "scipy loop": loop,
        "torch.sort": by_torch,
        "emd_1d": lambda: filter_distances(clean, noisy, "emd_1d"),
        "emd_1d, zeros apart": lambda: with_zeros_apart(0),
        "emd_1d, zeros among others": lambda: with_zeros_apart(size * size),
    }
    if device != "cpu":
        ways[f"emd_1d on {torch.cuda.get_device_name(device)}"] = lambda: filter_distances(*there, "emd_1d")
    compare(f"emd_1d, 1,000 × 32 × {size}×{size}, 1 thread", ways, n_runs=5, tolerance=1e-5)


def time_spatial(size: int, n_images: int, n_threads: int) -> None:
    """Time the exact spatial distance against a loop over POT, on one thread and on all."""
    clean, noisy = synthetic_maps(n_images, 32, size)
    ground = ground_distances(size, size, 2).copy()

    def loop() -> torch.Tensor:
        pairs = zip(*(unit_mass(maps).flatten(0, 1).numpy() for maps in (clean, noisy)), strict=True)
        return torch.tensor([float(_pot().emd2(a, b, ground)) for a, b in pairs]).reshape(n_images, 32)

    def ours(threads: int) -> torch.Tensor:
        torch.set_num_threads(threads)
        return filter_distances(clean, noisy, "emd_spatial")

    ways: Ways = {"ot.emd2 loop": loop}
    for threads in sorted({1, n_threads}):
        ways[f"emd_spatial, {threads} thread(s)"] = lambda threads=threads: ours(threads)  # type: ignore[misc]
    compare(f"emd_spatial, {n_images} × 32 × {size}×{size}", ways, n_runs=25, tolerance=1e-6)


def compare_approximations(photographs: Path | None, device: str) -> None:
    """Rank 32 filters with maps of 32×32 exactly and otherwise, and tell how far the rankings agree.

    The maps are those of cnn-2's first layer: trained on photographs, for 24 of the test set's; or, without any, with
    its initial weights, for synthetic ones.
    """
    torch.manual_seed(0)
    network = build_model("cnn-2", num_classes=10)
    if photographs:
        train(network, *read_photographs(photographs / "train", 10_000))
        images, labels = read_photographs(photographs / "test", 500)
        with torch.no_grad():
            right = (network(images / 255).argmax(dim=1) == labels).double().mean()
        print(f"maps of cnn-2, trained on photographs ({100 * float(right):.0f} % right)")
    else:
        images = synthetic_images(500).reshape(-1, 3, 32, 32)
        print("maps of cnn-2, with its initial weights, of synthetic images")
    clean = images[:: len(images) // 24][:24]
    for distortion, level in (("awgn", 25.0), ("blur", 1.0), ("contrast", 0.5)):
        noisy = distort(clean, distortion, level, seed=0)
        maps = [next(activation_maps(network, of, "conv1"))["conv1"] for of in (clean, noisy)]
        exact, exact_s = best_of(1, lambda maps=maps: filter_distances(*maps, "emd_spatial"))  # type: ignore[misc]
        print(f"  {distortion} {level:g}, 24 × 32 × 32×32: emd_spatial {1e3 * exact_s / exact.numel():.3f} ms a pair")
        maps = [of.to(device) for of in maps]
        for name in ("sliced_emd", "sinkhorn", "l1"):
            found, seconds = best_of(2, lambda maps=maps, name=name: filter_distances(*maps, name))  # type: ignore[misc]
            alike = [
                compare_rankings(*(rank_filters(distances[:n]) for distances in (found, exact)), count=1)
                for n in (12, 24)
            ]
            print(
                f"    {name:12} {1e3 * seconds / found.numel():9.4f} ms a pair, Spearman with the exact ranking "
                + ", ".join(f"{of.rank_correlation:.3f} ({n} images)" for of, n in zip(alike, (12, 24), strict=True))
            )


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train for three epochs, enough for filters that are no longer random."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    for _ in range(3):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch] / 255), labels[batch]).backward()
            optimizer.step()


def time_exemplars(sets: dict[str, torch.Tensor]) -> None:
    """Find the exemplar of each set, after seeing that sums and exemplar of a small one are those of plain loops."""
    for name, points in sets.items():
        few = points[:8000]
        sums = torch.stack([(few.float() - one.float()).norm(dim=1).double().sum() for one in few[:50]])
        if not torch.allclose(sums, summed_distances(few)[:50], rtol=1e-5):
            raise SystemExit("the sums of distances differ from the plain loop's")
        all_sums, plain_s = best_of(1, lambda few=few: summed_distances(few).argmin())  # type: ignore[misc]
        bounded, bounded_s = best_of(1, lambda few=few: find_exemplar(few))  # type: ignore[misc]
        if int(all_sums) != int(bounded):
            raise SystemExit("the exemplar is not the one of all sums")
        print(f"exemplar of {tuple(few.shape)} {name}: all sums {plain_s:.2f} s, by bounds {bounded_s:.2f} s")
        for metric in ("euclidean", "hamming"):
            features = points > 127 if metric == "hamming" else points
            _, seconds = best_of(1, lambda features=features, metric=metric: find_exemplar(features, metric))  # type: ignore[misc]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"exemplar of {tuple(features.shape)} {name}, {metric}: {seconds:.1f} s; "
                f"peak memory of the process {peak:.2f} GiB"
            )


def compare(title: str, ways: Ways, *, n_runs: int, tolerance: float) -> None:
    """Time the ways to the same numbers, in turn, and print the shortest times, the first way being the reference.

    On a machine with other work a way may get less of the processor than it could use: so its cores are shown, and the
    ratio of the least processor times beside the one of times.

    Raises:
        AssertionError: one gives other numbers.
    """
    results = {name: way() for name, way in ways.items()}
    reference, *others = (found.cpu().double() for found in results.values())
    for found in others:
        torch.testing.assert_close(found, reference, rtol=tolerance, atol=tolerance)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(n_runs):
        for name, way in ways.items():
            before = time.process_time()
            _, seconds = best_of(1, way)
            taken[name].append((seconds, time.process_time() - before))
    shortest = {name: min(times) for name, times in taken.items()}
    least = {name: min(cpu_s for _, cpu_s in times) for name, times in taken.items()}
    first = next(iter(ways))
    print(title)
    for name, (seconds, cpu_s) in shortest.items():
        print(
            f"  {name:26} {1e3 * seconds / reference.numel():9.4f} ms a pair on {cpu_s / seconds:.2f} cores, "
            f"{shortest[first][0] / seconds:5.1f} ×; by processor time {least[first] / least[name]:5.1f} ×"
        )


def best_of(n_runs: int, way: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """Return the result and the shortest of several timings, in seconds."""
    seconds = []
    for _ in range(n_runs):
        start = time.perf_counter()
        result = way()
        if result.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def synthetic_maps(n_images: int, n_filters: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
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


def read_photographs(folder: Path, n_images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images ``(n, 3, 32, 32)`` uint8, as many of each class, and their classes ``(n,)``."""
    from PIL import Image

    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [sorted(path.iterdir())[: n_images // len(classes)] for path in classes]
    pixels = np.stack([np.asarray(Image.open(path)) for of_class in files for path in of_class])
    labels = torch.cat([torch.full((len(of_class),), number) for number, of_class in enumerate(files)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels


def cpu_name() -> str:
    """Return the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _pot():  # type: ignore[no-untyped-def]
    import ot

    return ot


if __name__ == "__main__":
    main()
