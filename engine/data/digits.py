"""scikit-learn's 1,797 handwritten digits: real images, no download, seconds to train on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from engine.data.checks import check_memory
from engine.data.dataset import RawData, Split, register_dataset
from engine.digest import digest
from engine.errors import InputError
from engine.seeds import generator
from engine.settings import DataSettings

_CHUNK = 256  # as floats they take four times the memory
_N_TEST = 599  # a third, as in scikit-learn's own examples of this set


class Digits:
    """The reader of ``digits``: grey 8×8 images of 17 levels, upsampled (bilinear) to ``image_size``, 16 by default."""

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        if argument:
            raise InputError(f"data set 'digits' comes with scikit-learn and takes nothing after it, got {argument!r}")
        self.image_size = settings.image_size or 16
        self.channels = settings.channels or 1

    def fingerprint(self) -> str:
        """Return the content hash of what ``read`` gives (32 hexadecimal digits)."""
        return digest(["digits", 1, self.image_size, self.channels])[:32]

    def read(self) -> RawData:
        """Return the images; the test images are 599 fixed ones."""
        pixels, digits = load_file()
        small = torch.from_numpy(pixels).float()[:, None] * (255 / 16)
        side = self.image_size
        check_memory(len(small), self.channels, side)
        resized = (
            F.interpolate(part, size=(side, side), mode="bilinear", align_corners=False).round().clamp(0, 255)
            for part in small.split(_CHUNK)
        )
        large = torch.cat([part.to(torch.uint8) for part in resized])
        images = large.expand(-1, self.channels, -1, -1).contiguous()
        labels = torch.from_numpy(digits).long()
        order = torch.randperm(len(labels), generator=generator(0, "digits", "test"))
        test, train = order[:_N_TEST].sort().values, order[_N_TEST:].sort().values
        return RawData(
            train=Split(images[train], labels[train], train),
            test=Split(images[test], labels[test], test),
            class_names=tuple(str(digit) for digit in range(10)),
            severity_table="digits",
        )


def load_file() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the pixels (1797, 8, 8) in 0..16 and the digits, as scikit-learn's ``load_digits`` does.

    Its file is read where it lies, in milliseconds: to import scikit-learn takes seconds.
    """
    installed = importlib.util.find_spec("sklearn")
    for folder in (installed.submodule_search_locations or ()) if installed else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            rows = np.loadtxt(file, delimiter=",")
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a release that has it elsewhere

    source = load_digits()
    return source.images, source.target


register_dataset("digits")(Digits)
