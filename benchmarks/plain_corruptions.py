"""Corruptions as a plain NumPy and Pillow program has them, one image at a time: what the engine is measured by."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from engine.corruptions import Draws, frost_source
from engine.corruptions.frost_pictures import frost_pictures

FROST_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
MUD = np.array([63, 42, 20]) / 255


def channels_last(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, 0, -1) if values.ndim == 3 else values


class EngineDraws:
    """The draws that the engine gives one image, as arrays."""

    def __init__(self, name: str, severity: int, index: int) -> None:
        self._draws = Draws(0, ("corruption", name, severity), torch.tensor([index]))

    def normal(self, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return standard normal draws, channels last."""
        return channels_last(self._draws.normal(purpose, shape)[0].numpy())

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return uniform draws in (0, 1), channels last."""
        return channels_last(self._draws.uniform(purpose, shape)[0].numpy())

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
        return self._generator.standard_normal((*shape[1:], shape[0]) if len(shape) == 3 else shape)

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return uniform draws in [0, 1), channels last."""
        return self._generator.random((*shape[1:], shape[0]))

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


def plain_speckle_noise(image: np.ndarray, sigma: float, draws: NumpyDraws) -> np.ndarray:
    values = image / 255
    return truncate(values + values * (sigma * draws.normal("noise", (3, *image.shape[:2]))))


def plain_impulse_noise(image: np.ndarray, share: float, draws: NumpyDraws) -> np.ndarray:
    replaced = draws.uniform("replaced", (3, *image.shape[:2])) < share
    white = draws.uniform("white", (3, *image.shape[:2])) < 0.5
    return np.where(replaced, white.astype(np.uint8) * 255, image)


def plain_gaussian_blur(image: np.ndarray, sigma: float, draws: NumpyDraws) -> np.ndarray:
    return truncate(ndimage.gaussian_filter(image / 255, (sigma, sigma, 0), mode="nearest"))


def plain_pixelate(image: np.ndarray, scale: float, draws: NumpyDraws) -> np.ndarray:
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((int(width * scale), int(height * scale)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX))


def plain_jpeg_compression(image: np.ndarray, quality: int, draws: NumpyDraws) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def plain_mud(image: np.ndarray, constants: tuple, draws: NumpyDraws) -> np.ndarray:
    """Spatter of severities 4 and 5; drops of water need OpenCV."""
    mean, deviation, sigma, threshold, mud_sigma, _ = constants
    layer = mean + deviation * draws.normal("drops", image.shape[:2])
    layer = ndimage.gaussian_filter(layer, sigma, mode="nearest")
    covered = ndimage.gaussian_filter((layer > threshold).astype(np.float32), mud_sigma, mode="nearest")
    covered[covered < 0.8] = 0
    covered = covered[..., None]
    return truncate((image / 255).astype(np.float32) * (1 - covered) + covered * MUD.astype(np.float32))


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
    "gaussian_noise": plain_gaussian_noise,
    "impulse_noise": plain_impulse_noise,
    "glass_blur": plain_glass_blur,
    "zoom_blur": plain_zoom_blur,
    "frost": plain_frost,
    "contrast": plain_contrast,
    "pixelate": plain_pixelate,
    "jpeg_compression": plain_jpeg_compression,
    "speckle_noise": plain_speckle_noise,
    "gaussian_blur": plain_gaussian_blur,
    "spatter": plain_mud,
}


def has_plain(name: str, severity: int) -> bool:
    return name in PLAIN and (name != "spatter" or severity >= 4)
