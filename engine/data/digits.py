"""scikit-learn's 1,797 handwritten digits: real images, no download, seconds to train on."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from engine.data.dataset import RawData, Split, register_dataset
from engine.digest import digest
from engine.seeds import generator
from engine.settings import DataSettings

_N_TEST = 599  # a third, as in scikit-learn's own examples of this set


class Digits:
    """The reader of ``digits``: grey 8×8 images of 17 levels, upsampled (bilinear) to ``image_size``, 16 by default."""

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        self.image_size = settings.image_size or 16
        self.channels = settings.channels or 1

    def fingerprint(self) -> str:
        """Return the content hash of what ``read`` gives (32 hexadecimal digits)."""
        return digest(["digits", 1, self.image_size, self.channels])[:32]

    def read(self) -> RawData:
        """Return the images; the test images are 599 fixed ones."""
        from sklearn.datasets import load_digits

        source = load_digits()
        small = torch.from_numpy(source.images).float()[:, None] * (255 / 16)
        side = self.image_size
        large = F.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)
        images = large.round().clamp(0, 255).to(torch.uint8).expand(-1, self.channels, -1, -1).contiguous()
        labels = torch.from_numpy(source.target).long()
        order = torch.randperm(len(labels), generator=generator(0, "digits", "test"))
        test, train = order[:_N_TEST].sort().values, order[_N_TEST:].sort().values
        return RawData(
            train=Split(images[train], labels[train], train),
            test=Split(images[test], labels[test], test),
            class_names=tuple(str(digit) for digit in range(10)),
            severity_table="digits",
        )


register_dataset("digits")(Digits)
