"""What the tests compare with: the benchmark's own outputs, where they are at hand, and its own generator's draws."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "reference"
FOLDER = Path(os.environ.get("ROBUSTUNE_REFERENCE", _BESIDE))

DETERMINISTIC = (
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "gaussian_blur",
    "saturate",
)


def reference_path(name: str) -> Path:
    """Return a reference file's path; without the file the test is skipped."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no {name} in {FOLDER} (set ROBUSTUNE_REFERENCE)")
    return path


@lru_cache(maxsize=32)
def reference_images(name: str) -> np.ndarray:
    """Return an entry of the reference outputs: uint8 (5, 100, 32, 32, 3), "clean" (100, 32, 32, 3), or seeds."""
    with np.load(reference_path("cifar_c_ref100.npz")) as stored:
        return stored[name]


@lru_cache(maxsize=1)
def reference_clean_errors() -> dict:
    """Return {network: error in %} on the clean images of the statistics."""
    return json.loads(reference_path("cifar_c_stats.json").read_text())["clean"]["error"]


@lru_cache(maxsize=1)
def thousand_images() -> np.ndarray:
    """Return the first 100 test images of each class, which the statistics are of: uint8 (1000, 32, 32, 3)."""
    pictures = {}
    with tarfile.open(reference_path("../data/cifar10-jpeg.tar.gz")) as stored:
        for member in stored:
            folder, _, number = member.name.rpartition("/")
            if folder.startswith("test/") and number < "0100.jpg" and member.isfile():
                file = stored.extractfile(member)
                assert file is not None
                pictures[member.name] = np.asarray(Image.open(io.BytesIO(file.read())))
    assert len(pictures) == 1000
    return np.stack([pictures[name] for name in sorted(pictures)])


@lru_cache(maxsize=1)
def reference_statistics() -> dict:
    return json.loads(reference_path("cifar_c_stats.json").read_text())["sets"]


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3)))


class NumpyDraws:
    """The benchmark's own draws: numpy's old generator, seeded for each image, asked in the same order."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._states = [np.random.RandomState(seed) for seed in seeds]
        self.device = torch.device("cpu")

    def _stack(self, parts: list) -> torch.Tensor:
        return torch.from_numpy(np.stack(parts))

    def _images(self, shape: Sequence[int], draw: str, *args: float) -> torch.Tensor:
        """Colour images are drawn channels last."""
        if len(shape) != 3:
            return self._stack([getattr(state, draw)(*args, size=tuple(shape)) for state in self._states])
        channels, *size = shape
        drawn = [getattr(state, draw)(*args, size=(*size, channels)) for state in self._states]
        return self._stack([np.moveaxis(part, -1, 0) for part in drawn])

    def uniform(self, purpose: str, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return self._images(shape, "uniform", low, high)

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        return self._images(shape, "standard_normal")

    def integers(self, purpose: str, low: int, high: int, shape: Sequence[int]) -> torch.Tensor:
        return self._stack([np.asarray(state.randint(low, high, size=tuple(shape))) for state in self._states])

    def integers_below(self, purpose: str, limits: torch.Tensor) -> torch.Tensor:
        drawn = [state.randint(limit) for state, limit in zip(self._states, limits.tolist(), strict=True)]
        return torch.tensor(drawn)

    def poisson(self, purpose: str, images: torch.Tensor, photons: float) -> torch.Tensor:
        means = np.moveaxis(images.numpy(), 1, -1) / 255 * photons
        drawn = [state.poisson(mean) for state, mean in zip(self._states, means, strict=True)]
        return self._stack([np.moveaxis(part, -1, 0) for part in drawn])
