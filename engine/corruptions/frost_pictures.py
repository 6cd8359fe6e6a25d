"""The five pictures of frost: the benchmark's own where they are at hand, else synthetic ones.

They are looked for in the folder that the environment variable FROST_DIR names, then among the files of an installed
`imagecorruptions` package (which need not be importable). `frost_source` says what is in use: a stage whose numbers
depend on frost has the source's key in its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from engine.corruptions.counter import random_words, words_to_uniform
from engine.corruptions.image_filters import fold_positions
from engine.errors import InputError

# The benchmark has a sixth, which it never draws.
_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
_BENCHMARK_DIGEST = "270abd12dadabcac"

# Mean colour and standard deviation of each, about those of the benchmark's.
_SYNTHETIC = (
    ((78, 149, 166), 20),
    ((201, 205, 214), 22),
    ((201, 205, 214), 22),
    ((138, 153, 165), 28),
    ((112, 123, 135), 43),
)
_SYNTHETIC_SIZE = (320, 480)


class FrostPicturesError(InputError):
    """The pictures of frost that a person has named are not there, or cannot be read."""


@dataclass(frozen=True)
class FrostSource:
    """Where the pictures of frost come from.

    Args:
        kind: "benchmark" (the original pixels), "other" (files with these names, but other pixels) or "synthetic".
        folder: where the files lie; None for synthetic ones.
        digest: a hash of the pixels.
    """

    kind: str
    folder: str | None
    digest: str

    @property
    def key(self) -> str:
        """What decides the numbers, for a stage's key: the kind and the pixels, not the place."""
        return f"{self.kind}:{self.digest}"


@dataclass(frozen=True)
class FrostPictures:
    """Pictures ready to be cut from.

    Args:
        values: uint8 (5, h, w, c), each picture in its upper left corner.
        sizes: int64 (5, 2), their heights and widths.
    """

    values: torch.Tensor
    sizes: torch.Tensor


def frost_source() -> FrostSource:
    """Return which pictures are in use.

    Raises:
        FrostPicturesError: FROST_DIR names a folder without them, or one of them is damaged.
    """
    folder = _folder()
    digest = hashlib.sha256()
    for picture in _pictures(folder):
        digest.update(repr(picture.shape).encode() + picture.tobytes())
    name = digest.hexdigest()[:16]
    if folder is None:
        return FrostSource("synthetic", None, name)
    return FrostSource("benchmark" if name == _BENCHMARK_DIGEST else "other", str(folder), name)


def frost_pictures(height: int, width: int, n_channels: int, device: torch.device) -> FrostPictures:
    """Return the pictures at the scale for images of a size.

    For sides up to 32 every fifth pixel is taken (as the benchmark does for 32); for a longer side s every ⌊160/s⌋-th,
    at least every one. A picture that is not larger than the image is continued by its mirror image.

    Raises:
        FrostPicturesError: FROST_DIR names a folder without them, or one of them is damaged.
    """
    return _scaled(_folder(), height, width, n_channels, device)


@lru_cache(maxsize=8)
def _scaled(folder: Path | None, height: int, width: int, n_channels: int, device: torch.device) -> FrostPictures:
    step = min(5, max(1, 160 // max(height, width)))
    scaled = []
    for picture in _pictures(folder):
        pixels = torch.from_numpy(picture[step // 2 :: step, step // 2 :: step].copy())
        rows = fold_positions(torch.arange(max(len(pixels), height + 1)), len(pixels), "reflect")
        columns = fold_positions(torch.arange(max(pixels.shape[1], width + 1)), pixels.shape[1], "reflect")
        pixels = pixels[rows][:, columns]
        if n_channels == 1:
            grey_weights = torch.tensor([299, 587, 114])
            pixels = ((pixels * grey_weights).sum(2, keepdim=True) + 500).div(1000, rounding_mode="floor")
        scaled.append(pixels.to(torch.uint8))
    sizes = torch.tensor([pixels.shape[:2] for pixels in scaled])
    values = torch.zeros(len(scaled), *sizes.amax(dim=0).tolist(), n_channels, dtype=torch.uint8)
    for number, pixels in enumerate(scaled):
        values[number, : len(pixels), : pixels.shape[1]] = pixels
    return FrostPictures(values.to(device), sizes.to(device))


def _folder() -> Path | None:
    given = os.environ.get("FROST_DIR")
    if given:
        missing = [name for name in _FILES if not (Path(given) / name).is_file()]
        if missing:
            raise FrostPicturesError(f"FROST_DIR is {given!r}, but there is no {', '.join(missing)} in it")
        return Path(given)
    found = importlib.util.find_spec("imagecorruptions")
    for place in (found and found.submodule_search_locations) or ():
        if all((Path(place) / "frost" / name).is_file() for name in _FILES):
            return Path(place) / "frost"
    return None


@lru_cache(maxsize=4)
def _pictures(folder: Path | None) -> tuple[np.ndarray, ...]:
    """Return five pictures, uint8 (h, w, 3); what is transparent in a file is shown."""
    if folder is None:
        return tuple(_synthetic(number) for number in range(len(_SYNTHETIC)))
    return tuple(_picture(folder / name) for name in _FILES)


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # what a damaged file raises depends on its format and on where it is damaged
        raise FrostPicturesError(f"the picture of frost {path} cannot be read: it is damaged, or no picture") from error


def _synthetic(number: int) -> np.ndarray:
    """Return a picture of ridges at five scales, which meet at sharp creases as crystals do: uint8 (h, w, 3)."""
    colour, deviation = _SYNTHETIC[number]
    height, width = _SYNTHETIC_SIZE
    total = np.zeros((height, width))
    for octave, cell in enumerate((80, 40, 20, 10, 5)):
        shape = (height // cell + 1, width // cell + 1)
        words = random_words(octave, torch.tensor([number]), shape[0] * shape[1])
        lattice = words_to_uniform(words).reshape(shape).numpy()
        smooth = _stretch(_stretch(lattice, cell, height).T, cell, width).T
        total += 0.7**octave * (1 - np.abs(2 * smooth - 1)) ** 2
    texture = (total - total.mean()) / total.std() * deviation
    return np.clip(texture[..., None] + np.array(colour), 0, 255).round().astype(np.uint8)


def _stretch(lattice: np.ndarray, cell: int, length: int) -> np.ndarray:
    """Interpolate linearly between the rows of a lattice, ``cell`` pixels apart."""
    row, within = np.divmod(np.arange(length), cell)
    share = within[:, None] / cell
    return lattice[row] * (1 - share) + lattice[row + 1] * share
