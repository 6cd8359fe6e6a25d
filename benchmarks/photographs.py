"""Crops of photographs of scikit-image and scikit-learn, as a folder of the layout ``imagefolder``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "rocket")
"""Of scikit-image's photographs those that its wheel has."""
OF_SCIKIT_LEARN = ("china", "flower")
SIDES = (180, 320)
"""Least and largest side of a crop in pixels; the photographs have 300 pixels and more."""


def photographs() -> dict[str, Image.Image]:
    """Return the photographs by name, in colour.

    Raises:
        SystemExit: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise SystemExit("this benchmark takes its photographs from scikit-image: pip install scikit-image") from None
    from sklearn.datasets import load_sample_image

    pixels = {name: getattr(data, name)() for name in NAMES}
    pixels |= {name: load_sample_image(f"{name}.jpg") for name in OF_SCIKIT_LEARN}
    return {name: Image.fromarray(found).convert("RGB") for name, found in pixels.items()}


def write_crops(
    folder: Path, n_of_part: dict[str, int], *, sides: tuple[int, int] = SIDES, size: tuple[int, int] | None = None
) -> None:
    """Write crops as JPEGs into FOLDER/PART/PHOTOGRAPH/, the same ones each time.

    Args:
        folder: where to.
        n_of_part: {part: how many crops it gets in all}, the same number of each photograph, or one more.
        sides: least and largest side of a crop.
        size: width and height that crops are brought to; None to leave them square, as they are cut.
    """
    draws = np.random.default_rng(0)
    shots = photographs()
    for part, n in n_of_part.items():
        for number, (name, photograph) in enumerate(shots.items()):
            place = folder / part / name
            place.mkdir(parents=True)
            for crop in range(n // len(shots) + (number < n % len(shots))):
                cut = _cut(photograph, draws, sides, 1.0 if size is None else size[0] / size[1])
                (cut if size is None else cut.resize(size, Image.Resampling.BICUBIC)).save(
                    place / f"{crop:04d}.jpg", quality=int(draws.integers(85, 96))
                )


def _cut(
    photograph: Image.Image, draws: np.random.Generator, sides: tuple[int, int], width_to_height: float
) -> Image.Image:
    height = int(draws.integers(sides[0], min(sides[1], *photograph.size) + 1))
    width = min(round(height * width_to_height), photograph.width)
    left = int(draws.integers(photograph.width - width + 1))
    top = int(draws.integers(photograph.height - height + 1))
    return photograph.crop((left, top, left + width, top + height))
