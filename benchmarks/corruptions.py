"""How long the corruptions take, beside plain NumPy and Pillow loops over images in the same run.

    python benchmarks/corruptions.py --n 1000 --device cpu [--reference-timing cifar_c_timing.json]

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
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from engine.corruptions import CORRUPTIONS, Draws, corrupt, frost_source, severity_constants
from engine.corruptions.frost_pictures import frost_pictures

FROST_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


class EngineDraws:
    """The draws that the engine gives one image, as arrays."""

    def __init__(self, name: str, severity: int, index: int) -> None:
        self._draws = Draws(0, ("corruption", name, severity), torch.tensor([index]))

    def normal(self, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return standard normal draws, channels last."""
        return np.moveaxis(self._draws.normal(purpose, shape)[0].numpy(), 0, -1)

    def steps(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return −1 or 0."""
        return self._draws.integers("steps", -1, 1, shape)[0].numpy()

    def below(self, purpose: str, limit: int) -> int:
        """Return one of 0 … limit − 1."""
        if purpose == "picture":
            return int(self._draws.integers(purpose, 0, limit, ())[0])
        return int(self._draws.integers_below(purpose, torch.tensor([limit]))[0])


class NumpyDraws:
    """The same from numpy's own generator: what a plain program would use, and what is timed."""

    def __init__(self, *_: object) -> None:
        self._generator = NumpyDraws.generator

    generator = np.random.default_rng(0)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return standard normal draws, channels last."""
        return self._generator.standard_normal((*shape[1:], shape[0]))

    def steps(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return −1 or 0."""
        return self._generator.integers(-1, 1, shape)

    def below(self, purpose: str, limit: int) -> int:
        """Return one of 0 … limit − 1."""
        return int(self._generator.integers(limit))


def truncate(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def plain_gaussian_noise(image: np.ndarray, sigma: float, draws: NumpyDraws) -> np.ndarray:
    return truncate(image / 255 + sigma * draws.normal("noise", (3, *image.shape[:2])))


def plain_contrast(image: np.ndarray, factor: float, draws: NumpyDraws) -> np.ndarray:
    values = image / 255
    mean = values.mean(axis=(0, 1), keepdims=True)
    return truncate((values - mean) * factor + mean)


def plain_glass_blur(image: np.ndarray, constants: tuple, draws: NumpyDraws) -> np.ndarray:
    sigma, n_passes = constants
    height, width = image.shape[:2]
    blurred = truncate(ndimage.gaussian_filter(image / 255, (sigma, sigma, 0), mode="nearest"))
    steps = draws.steps((n_passes, height - 2, width - 2, 2))
    for number in range(n_passes):
        for i, row in enumerate(range(height - 1, 1, -1)):
            for j, column in enumerate(range(width - 1, 1, -1)):
                right, down = steps[number, i, j]
                blurred[row, column] = blurred[row + down, column + right]
    return truncate(ndimage.gaussian_filter(blurred / 255, (sigma, sigma, 0), mode="nearest"))


def plain_zoom_blur(image: np.ndarray, n_zooms: int, draws: NumpyDraws) -> np.ndarray:
    values = (image / 255).astype(np.float32)
    side = len(image)
    total = np.zeros_like(values)
    for factor in np.arange(1, 1 + 0.01 * (n_zooms - 0.5), 0.01):
        cropped = math.ceil(side / factor)
        start = (side - cropped) // 2
        crop = values[start : start + cropped, start : start + cropped]
        large = ndimage.zoom(crop, (factor, factor, 1), order=1)
        cut = (len(large) - side) // 2
        total += large[cut : cut + side, cut : cut + side]
    return truncate((values + total) / (n_zooms + 1))


def plain_frost(image: np.ndarray, constants: tuple, draws: NumpyDraws) -> np.ndarray:
    """Decode the file for each image, as the benchmark's code does."""
    which = draws.below("picture", 5)
    folder = frost_source_folder()
    if folder is None:
        pictures = frost_pictures(image.shape[0], image.shape[1], 3, torch.device("cpu"))
        height, width = pictures.sizes[which].tolist()
        picture = pictures.values[which, :height, :width].numpy()
    else:
        picture = np.asarray(Image.open(folder / FROST_FILES[which]).convert("RGB"))[2::5, 2::5]
    row = draws.below("row", picture.shape[0] - image.shape[0])
    column = draws.below("column", picture.shape[1] - image.shape[1])
    piece = picture[row : row + image.shape[0], column : column + image.shape[1]]
    return np.clip(constants[0] * image + constants[1] * piece, 0, 255).astype(np.uint8)


_folder: list[Path | None] = []


def frost_source_folder() -> Path | None:
    if not _folder:
        found = frost_source().folder
        _folder.append(Path(found) if found else None)
    return _folder[0]


PLAIN: dict[str, Callable[..., np.ndarray]] = {
    "glass_blur": plain_glass_blur,
    "frost": plain_frost,
    "zoom_blur": plain_zoom_blur,
    "gaussian_noise": plain_gaussian_noise,
    "contrast": plain_contrast,
}


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
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    plain = [PLAIN[name](picture, constants, EngineDraws(name, severity, i)) for i, picture in enumerate(pictures)]
    difference = np.abs(ours.astype(int) - np.stack(plain))
    if difference.max() > 1 or (difference > 0).mean() > 1e-4:
        raise SystemExit(f"{name}/{severity}: differs from the plain version by {difference.max()}")
    print(f"{name}/{severity}: {int((difference > 0).sum())} of {difference.size} bytes differ from the plain version")


def compare(images: torch.Tensor, severities: list[int], n_plain: int) -> None:
    device = images.device
    for name in PLAIN:
        for severity in severities:
            check_equal(name, severity, images[: min(20, len(images))])
    print(f"\n{'per 1,000 images':20} {'plain s':>9} {'engine s':>9} {'ratio':>7}")
    for name, plain in PLAIN.items():
        pictures = images[:n_plain].permute(0, 2, 3, 1).cpu().numpy()
        for severity in severities:
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
