"""MNIST, CIFAR-10 and CIFAR-100 from the files that their authors publish, through torchvision's readers."""

from __future__ import annotations

import hashlib
import os
import pickle
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.checks import check_memory
from engine.data.dataset import DataInfo, RawData, Split, register_dataset, split_sizes
from engine.digest import digest
from engine.errors import InputError
from engine.settings import DataSettings

DATA_FOLDER = "ROBUSTUNE_DATA"
"""Environment variable that names the folder of the files, where the data set's name does not; else ``data``."""

_LUMA = (0.299, 0.587, 0.114)

_IN_A_BATCH = {
    ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
"""All that the published pickles refer to, as (module, name), whichever Python and numpy wrote them."""


class MissingFilesError(InputError):
    """The files of a published data set are not there; what they hold is known all the same."""


class OfficialFiles(ABC):
    """The reader of a published data set: "mnist", or "mnist:FOLDER" where the folder is not the usual one.

    Images are resized (bilinear, antialiased) to ``image_size`` and become luma, or r = g = b, by ``channels``.

    Args:
        argument: the folder that torchvision would be given as ``root``; None for the one that the environment variable
            ``ROBUSTUNE_DATA`` names, else ``data``.
        settings: image size and channels; the files' own where they are None.

    Raises:
        InputError: files that are not there; it names them and the folder.
    """

    name: ClassVar[str]
    size: ClassVar[int]
    own_channels: ClassVar[int]
    severity_table: ClassVar[str]
    class_sizes: ClassVar[tuple[int, ...]]
    n_test: ClassVar[int] = 10_000

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        self.root = data_folder(argument)
        self.image_size = settings.image_size or self.size
        self.channels = settings.channels or self.own_channels
        missing = ", ".join(path for path in self.files() if not (self.root / path).is_file())
        if missing:
            raise MissingFilesError(
                f"data set {self.name!r} needs files that are not in {self.root}: {missing}; put them there, name "
                f"another folder ({self.name}:FOLDER or {DATA_FOLDER}), or ask for the download (--download)"
            )

    @classmethod
    def download(cls, argument: str | None) -> None:
        """Fetch the files into the folder, unless they are there.

        Raises:
            InputError: they cannot be had; it says why.
        """
        root = data_folder(argument)
        try:
            cls.published()(str(root), download=True)
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"data set {cls.name!r} could not be downloaded into {root}: {reason}") from error

    @classmethod
    def outline(cls, settings: DataSettings) -> DataInfo:
        """Return what planning needs to know of the data set as far as its authors say it; its files need not be there.

        The keys are of no images: nothing that is in a store is found by them.

        Raises:
            InputError: settings that no split can be made with.
        """
        labels = torch.arange(len(cls.class_sizes)).repeat_interleave(torch.tensor(cls.class_sizes))
        names = [str(label) for label in range(len(cls.class_sizes))]
        n_train, n_validation, n_test = split_sizes(labels, names, cls.n_test, settings)
        size, channels = settings.image_size or cls.size, settings.channels or cls.own_channels
        raw_key = digest(["outline", cls.name, size, channels])[:32]
        counts = [n_train, n_validation, settings.validation_fraction, settings.split_seed]
        return DataInfo(
            key=digest(["data", raw_key, counts, n_test])[:32],
            training_key=digest(["training data", raw_key, counts])[:32],
            raw_key=raw_key,
            settings=settings,
            n_classes=len(names),
            channels=channels,
            image_size=size,
            severity_table=cls.severity_table,
            n_train=n_train,
            n_validation=n_validation,
            n_test=n_test,
            notes=(
                f"data set {cls.name!r} is not here: planned from what its authors say of it ({len(labels)} training "
                f"and {cls.n_test} test images, {len(names)} classes); no file of it has been read, and whether the "
                "store has some of the stages is not known",
            ),
        )

    def fingerprint(self) -> str:
        """Return the content hash of the files and of how they are decoded (32 hexadecimal digits).

        Raises:
            InputError: a file that can't be read.
        """
        content = {path: self._hash(path) for path in self.files()}
        return digest([self.name, 1, content, self.image_size, self.channels])[:32]

    def read(self) -> RawData:
        """Return the images.

        Raises:
            InputError: files that are cut off, damaged, or hold something else.
        """
        self.check_files()
        parts = []
        for train in (True, False):
            try:
                images, labels = self.read_part(train)
            except Exception as error:  # what a damaged file raises depends on where it is damaged
                raise InputError(
                    f"the files of data set {self.name!r} in {self.root} cannot be read: cut off or damaged ({error})"
                ) from error
            shape = (self.own_channels, self.size, self.size)
            if images.dtype != torch.uint8 or images.shape[1:] != shape:
                raise InputError(
                    f"the files of data set {self.name!r} in {self.root} must have uint8 images of {shape}, got "
                    f"{images.dtype} of {tuple(images.shape[1:])}"
                )
            check_memory(len(images), self.channels, self.image_size)
            images = fit(images, self.image_size, self.channels)
            parts.append(Split(images, labels, torch.arange(len(images))))
        return RawData(parts[0], parts[1], self.class_names(), self.severity_table)

    def _hash(self, path: str) -> str:
        try:
            with (self.root / path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"file cannot be read: {self.root / path} ({error.strerror})") from error

    @classmethod
    @abstractmethod
    def published(cls) -> Any:
        """Return torchvision's class for the data set."""

    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """Return the paths of all files below the folder."""

    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes; asked for after ``check_files``."""

    @abstractmethod
    def read_part(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return the images (n, c, h, w), uint8, and labels (n,), int64, of the training or the test files."""

    def check_files(self) -> None:  # noqa: B027 - formats that cannot do harm need no check
        """Raise ``InputError`` for files that must not be opened."""


class Mnist(OfficialFiles):
    """The reader of ``mnist``: 60,000 training and 10,000 test images of digits, grey, 28×28 (LeCun et al. 1998)."""

    name = "mnist"
    size = 28
    own_channels = 1
    severity_table = "digits"
    class_sizes = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)

    @classmethod
    def published(cls) -> Any:
        """Return torchvision's class."""
        from torchvision.datasets import MNIST  # here: the core needs torch and numpy alone

        return MNIST

    def files(self) -> tuple[str, ...]:
        """Return the paths of the four idx-ubyte files."""
        kinds = ("images-idx3", "labels-idx1")
        return tuple(f"MNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in kinds)

    def class_names(self) -> tuple[str, ...]:
        """Return the digits."""
        return tuple(str(digit) for digit in range(10))

    def read_part(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return images (n, 1, 28, 28) and labels."""
        part = self.published()(str(self.root), train=train)
        return part.data[:, None], part.targets.long()


class Cifar(OfficialFiles):
    """The reader of ``cifar10``: 50,000 training and 10,000 test images, colour, 32×32 (Krizhevsky 2009).

    The files are pickles. They are read only if they hold arrays, numbers, strings and nothing that runs.
    """

    name = "cifar10"
    size = 32
    own_channels = 3
    severity_table = "cifar-c"
    class_sizes: ClassVar[tuple[int, ...]] = (5000,) * 10

    @classmethod
    def published(cls) -> Any:
        """Return torchvision's class."""
        from torchvision.datasets import CIFAR10

        return CIFAR10

    def files(self) -> tuple[str, ...]:
        """Return the paths of the batches and of the names of the classes."""
        published = self.published()
        names = [name for name, _ in published.train_list + published.test_list] + [published.meta["filename"]]
        return tuple(f"{published.base_folder}/{name}" for name in names)

    def check_files(self) -> None:
        """Open every file without executing anything; raise ``InputError`` for one that refers to more than arrays."""
        for path in self.files():
            content = load_batch(self.root / path)
            if not isinstance(content, dict):
                raise InputError(f"{self.root / path} is no batch of {self.name}: it holds a {type(content).__name__}")

    def class_names(self) -> tuple[str, ...]:
        """Return the names in the file beside the batches."""
        meta = self.published().meta
        names = load_batch(self.root / self.published().base_folder / meta["filename"]).get(meta["key"])
        if not isinstance(names, list):
            raise InputError(f"{self.root}: {meta['filename']} of {self.name} has no {meta['key']}")
        return tuple(map(str, names))

    def read_part(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return images (n, 3, 32, 32) and labels."""
        published = self.published()

        class Unsigned(published):  # type: ignore[misc,valid-type]
            """The same files without their known checksums: parts of the set can be used as well."""

            train_list = [[name, None] for name, _ in published.train_list]  # noqa: RUF012
            test_list = [[name, None] for name, _ in published.test_list]  # noqa: RUF012
            meta = {**published.meta, "md5": None}  # noqa: RUF012

        part = Unsigned(str(self.root), train=train)
        return torch.from_numpy(np.ascontiguousarray(part.data)).permute(0, 3, 1, 2), torch.tensor(part.targets)


class Cifar100(Cifar):
    """The reader of ``cifar100``: as CIFAR-10, 100 classes (the fine labels)."""

    name = "cifar100"
    class_sizes = (500,) * 100

    @classmethod
    def published(cls) -> Any:
        """Return torchvision's class."""
        from torchvision.datasets import CIFAR100

        return CIFAR100


class _Arrays(pickle.Unpickler):
    """Unpickles arrays and plain values; refuses to look anything else up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _IN_A_BATCH:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)


def load_batch(path: Path) -> Any:
    """Return the content of a pickle of arrays and plain values.

    Raises:
        InputError: it refers to anything else (nothing of it is executed), or is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            return _Arrays(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is refused: it holds more than images and labels, or is damaged ({error})") from error
    except Exception as error:  # what a damaged pickle raises depends on where it is damaged
        raise InputError(f"{path} cannot be read: cut off or damaged ({error})") from error


def data_folder(argument: str | None) -> Path:
    """Return the folder of the published files."""
    return Path(argument or os.environ.get(DATA_FOLDER) or "data").expanduser()


def fit(images: Tensor, size: int, channels: int) -> Tensor:
    """Return uint8 images (n, c, h, w) with another size (bilinear, antialiased) or number of channels, if need be."""
    if images.shape[1] == 3 and channels == 1:
        weights = torch.tensor(_LUMA)[:, None, None]
        images = torch.cat([(part * weights).sum(1, keepdim=True).round().byte() for part in images.split(1000)])
    if images.shape[-1] != size:
        sides = (size, size)
        resized = (
            F.interpolate(part.float(), size=sides, mode="bilinear", antialias=True) for part in images.split(1000)
        )
        images = torch.cat([part.round().clamp(0, 255).byte() for part in resized])
    return images.expand(-1, channels, -1, -1).contiguous()


for _reader in (Mnist, Cifar, Cifar100):
    register_dataset(_reader.name)(_reader)
