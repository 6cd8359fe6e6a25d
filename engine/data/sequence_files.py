"""Folders of perturbation sequences in the format in which CIFAR-10-P is published.

A file NAME.npy a sequence holds all frames of each test image: uint8 (n, frames, side, side, c), (10000, 31, 32, 32, 3)
in most of the published ones; of a noise, NAME_2.npy and NAME_3.npy have the greater difficulties. There are no labels:
what is asked is whether answers stay. The files are large (0.95 GB each): they are mapped into memory, and some images
are read at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.corruption_files import LABELS, mapped
from engine.data.dataset import Split
from engine.data.streamed import whole
from engine.errors import InputError

_LOOKED_AT = 100
"""First frames that are compared with the test images, at most."""


class SequenceFiles:
    """The sequences of a folder, checked.

    Args:
        folder: where the files lie.
        clean: the clean test images, or, as their indices say, some of them.
        n_frames: {file without its ending: how many frames its sequences must have; None for any number}.
        first_is_clean: of which of these the first frame must be the test image.

    Raises:
        InputError: no such folder; a file that is missing, truncated, no array, of another shape or not of uint8, or of
            other pictures.
    """

    def __init__(
        self,
        folder: str | Path,
        clean: Split,
        n_frames: Mapping[str, int | None],
        first_is_clean: frozenset[str] = frozenset(),
    ) -> None:
        self.folder = folder = Path(folder)
        missing = [f"{name}.npy" for name in n_frames if not (folder / f"{name}.npy").is_file()]
        if missing:
            raise InputError(f"folder of perturbation sequences {folder} lacks {', '.join(missing)}")
        self._clean = clean
        _, channels, side, _ = clean.images.shape
        self._files = {
            name: mapped(folder / f"{name}.npy", (None, count, side, side, channels))
            for name, count in n_frames.items()
        }
        self._places = {name: self._find_places(name) for name in n_frames}
        for name in first_is_clean & set(n_frames):
            self._check_first(name)

    def frames(self, name: str, start: int, end: int) -> Iterator[Tensor]:
        """Yield the frames, uint8 (images, c, side, side) on their device, of the test images from one to another."""
        pixels = np.stack([self._files[name][place] for place in self._places[name][start:end]])
        for frame in range(pixels.shape[1]):
            yield torch.from_numpy(pixels[:, frame]).permute(0, 3, 1, 2).contiguous().to(self._clean.labels.device)

    def _find_places(self, name: str) -> np.ndarray:
        """Return where in a file the test images are: all, or by their indices."""
        n_there = len(self._files[name])
        if len(self._clean) == n_there:
            return np.arange(n_there)
        indices = self._clean.indices.cpu().numpy()
        if int(indices.max()) >= n_there:
            path = self.folder / f"{name}.npy"
            raise InputError(f"{path} has {n_there} sequences, too few: test image {int(indices.max())} is wanted")
        return indices

    def _check_first(self, name: str) -> None:
        n = min(_LOOKED_AT, len(self._clean))
        expected = whole(self._clean.take(torch.arange(n)).images).cpu().permute(0, 2, 3, 1).numpy()
        for place, picture in zip(self._places[name][:n].tolist(), expected, strict=True):
            if not np.array_equal(self._files[name][place, 0], picture):
                raise InputError(
                    f"{self.folder / name}.npy is of other pictures: the first frame of its sequence {place} is not "
                    "the test image"
                )


def sequence_hashes(folder: str | Path, clean: Split, first_is_clean: Callable[[str], bool]) -> dict[str, str]:
    """Return {file without its ending: SHA-256, 32 hexadecimal digits} of a folder's arrays: a second or two for 1 GB.

    Args:
        folder: where the files lie.
        clean: the clean test images.
        first_is_clean: tells of a file, by its name without the ending, whether its first frames must be these.

    Raises:
        InputError: no such folder, one without arrays, or as of ``SequenceFiles``.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder of perturbation sequences does not exist: {folder}")
    names = sorted(path.stem for path in folder.glob("*.npy") if path.name != LABELS)
    if not names:
        raise InputError(f"folder of perturbation sequences {folder} has no .npy file")
    SequenceFiles(folder, clean, dict.fromkeys(names), frozenset(filter(first_is_clean, names)))
    hashes = {}
    for name in names:
        with (folder / f"{name}.npy").open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    return hashes
