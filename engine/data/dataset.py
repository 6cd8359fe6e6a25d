"""A data set as uint8 tensors that live on the device, apart as train, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from engine.data.checks import check_split
from engine.data.streamed import Change, Images, kept
from engine.digest import digest
from engine.errors import InputError
from engine.registry import Registry
from engine.seeds import generator
from engine.settings import DataSettings


@dataclass(frozen=True)
class Split:
    """Images that serve one purpose.

    Attributes:
        images: uint8 (n, c, h, w); of sets that memory need not hold ``StreamedImages``.
        labels: int64 (n,), classes counted from 0.
        indices: int64 (n,), each image's position in its source (the training or the test files): what the
            randomness of a corruption is drawn by, so that it does not depend on how images are batched.
        origin: hash of what decides the images and their order; None where nobody has said.
    """

    images: Images
    labels: Tensor
    indices: Tensor
    origin: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: Tensor) -> Split:
        """Return the images at some positions (int64)."""
        positions = positions.to(self.labels.device)
        images = self.images[positions] if isinstance(self.images, Tensor) else self.images.take(positions)
        return Split(images, self.labels[positions], self.indices[positions])

    def changed(self, change: Change) -> Split:
        """Return the split with changed images: tensors are changed now, streamed ones whenever a part is read."""
        if isinstance(self.images, Tensor):
            return Split(change(self.images, self.indices), self.labels, self.indices)
        return Split(self.images.changed(change, self.indices), self.labels, self.indices)

    def kept(self) -> Split:
        """Return the split with the change of its images made once, not whenever a part of them is read."""
        return Split(kept(self.images), self.labels, self.indices)

    def to(self, device: torch.device | str) -> Split:
        """Return the split on a device."""
        return Split(self.images.to(device), self.labels.to(device), self.indices.to(device), self.origin)


@dataclass(frozen=True)
class RawData:
    """What a data set's reader returns: all its images, before anything is set apart.

    Attributes:
        train: the training images.
        test: the test images, which no choice ever sees.
        class_names: one for each label.
        severity_table: the table of corruption severities that suits these images.
        notes: what a person should know of them, a sentence each.
        are_limits_balanced: whether a limit takes equally many images of each class, as far as there are so many.

    Raises:
        InputError: one class, images that are not uint8 (n, 1 or 3, side, side), that are all the same, or labels that
            are not one class each, or all of one class.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    severity_table: str = "cifar-c"
    notes: tuple[str, ...] = ()
    are_limits_balanced: bool = False

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            raise InputError(f"a data set needs at least 2 classes, got {len(self.class_names)}: {self.class_names}")
        for part, split in (("training", self.train), ("test", self.test)):
            images = split.images if isinstance(split.images, Tensor) else split.images.stored
            check_split(part, images, split.labels, split.indices, len(self.class_names))
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise InputError(
                f"training and test images must have one shape (c, h, w), got {tuple(self.train.images.shape[1:])} and "
                f"{tuple(self.test.images.shape[1:])}"
            )


@dataclass(frozen=True)
class DataSet:
    """A data set ready for use: three splits and what a network must know of them.

    Attributes:
        corruption_folder: where the corrupted test images lie, if they are not made.
        sequence_folder: where their perturbation sequences lie, if they are not made.
        balanced: the splits ("train", …) that a limit left equally many images of each class.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    severity_table: str
    corruption_folder: str | None = None
    sequence_folder: str | None = None
    balanced: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Return the number of channels: 1 or 3."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return self.train.images.shape[2]

    def to(self, device: torch.device | str) -> DataSet:
        """Return the data set with its tensors on a device."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


@dataclass(frozen=True)
class DataInfo:
    """What planning needs to know of a data set, without its images.

    Attributes:
        key: content hash of the images and of how they are split; part of the keys of stages that test.
        training_key: the same without what concerns test images only; part of the keys of stages that do not test.
        raw_key: content hash of the images alone: where the store has them.
        settings: the settings it was prepared from.
        n_classes: number of classes.
        channels: 1 or 3.
        image_size: side in pixels.
        severity_table: the table of corruption severities that suits these images.
        n_train: training images, validation apart.
        n_validation: validation images.
        n_test: test images.
        corruption_folder: where the corrupted test images lie, absolute; None if they are made.
        corruption_files: {corruption: content hash of its file there}.
        sequence_folder: where the test images' perturbation sequences lie, absolute; None if they are made.
        sequence_files: {file there, without its ending: its content hash}.
        notes: what a person should know of the images, a sentence each; no key depends on them.
    """

    key: str
    training_key: str
    raw_key: str
    settings: DataSettings
    n_classes: int
    channels: int
    image_size: int
    severity_table: str
    n_train: int
    n_validation: int
    n_test: int
    corruption_folder: str | None = None
    corruption_files: Mapping[str, str] = field(default_factory=dict)
    sequence_folder: str | None = None
    sequence_files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Return how many images of which kind there are, as commands say it."""
        return (
            f"{self.settings.name}: {self.n_train} training, {self.n_validation} validation and {self.n_test} test "
            f"images of {self.channels}×{self.image_size}×{self.image_size}, {self.n_classes} classes"
        )


READERS: Registry = Registry("data set")
register_dataset = READERS.register


def split_key(raw_key: str, data: DataSet, settings: DataSettings, *, with_test: bool = True) -> str:
    """Return the content hash of a data set's images and of how they are set apart (32 hexadecimal digits).

    Limits count by what they leave: one beyond the images that there are is none.

    Args:
        raw_key: of the images.
        data: the images set apart.
        settings: how that was done.
        with_test: whether the test images count: how many there are changes nothing for a stage that never sees them.
    """
    how: list[Any] = [len(data.train), len(data.validation), settings.validation_fraction, settings.split_seed]
    how += [part for part in data.balanced if with_test or part != "test"]
    return digest(["data", raw_key, how, len(data.test)] if with_test else ["training data", raw_key, how])[:32]


def split_data(raw: RawData, settings: DataSettings) -> DataSet:
    """Set validation images apart from the training images and apply the limits.

    The split is a permutation drawn from ``split_seed`` for each class, so that each split has the classes in the
    proportions of the whole; a limit takes the first of it, or, where limits are balanced, the first of each class.

    Raises:
        InputError: a class has too few images to be in both training and validation.
    """
    train, validation = _stratified_positions(raw.train.labels, raw.class_names, settings)
    test = _shuffled(torch.arange(len(raw.test)), settings.split_seed, "test")
    parts = {
        "train": (raw.train, train, settings.n_train),
        "validation": (raw.train, validation, settings.n_validation),
        "test": (raw.test, test, settings.n_test),
    }
    cut = [part for part, (_, positions, limit) in parts.items() if limit is not None and limit < len(positions)]
    balanced = tuple(cut) if raw.are_limits_balanced else ()
    taken = {
        part: of.take(_limited(_in_turns(positions, of.labels) if part in balanced else positions, limit))
        for part, (of, positions, limit) in parts.items()
    }
    return DataSet(
        settings.name,
        taken["train"],
        taken["validation"],
        taken["test"],
        raw.class_names,
        raw.severity_table,
        balanced=balanced,
    )


def split_sizes(
    labels: Tensor, class_names: Sequence[str], n_test: int, settings: DataSettings
) -> tuple[int, int, int]:
    """Return how many training, validation and test images ``split_data`` leaves of images with these labels.

    Raises:
        InputError: as of ``split_data``.
    """
    train, validation = _stratified_positions(labels, class_names, settings)
    sizes = (len(train), settings.n_train), (len(validation), settings.n_validation), (n_test, settings.n_test)
    n_train, n_validation, n_tested = (size if limit is None else min(size, limit) for size, limit in sizes)
    return n_train, n_validation, n_tested


def _stratified_positions(labels: Tensor, class_names: Sequence[str], settings: DataSettings) -> tuple[Tensor, Tensor]:
    """Return training and validation positions in a random order in which every prefix mixes the classes."""
    train, validation, small = [], [], []
    for label, name in enumerate(class_names):
        positions = _shuffled((labels == label).nonzero().flatten(), settings.split_seed, "class", label)
        n_validation = round(len(positions) * settings.validation_fraction)
        if not 0 < n_validation < len(positions):
            small.append(f"{name!r} ({len(positions)})")
        validation.append(positions[:n_validation])
        train.append(positions[n_validation:])
    if small:
        more = f", and {len(small) - 10} more" if len(small) > 10 else ""
        raise InputError(
            f"classes with too few training images to set {settings.validation_fraction:.3g} of them apart for "
            f"validation (`data.validation_fraction`): {', '.join(small[:10])}{more}"
        )
    return (
        _shuffled(torch.cat(train), settings.split_seed, "train"),
        _shuffled(torch.cat(validation), settings.split_seed, "validation"),
    )


def _shuffled(positions: Tensor, seed: int, *purpose: object) -> Tensor:
    order = torch.randperm(len(positions), generator=generator(seed, "split", *purpose))
    return positions[order]


def _in_turns(positions: Tensor, labels: Tensor) -> Tensor:
    """Return positions so that classes take turns, each with its own in their order."""
    own = labels[positions]
    by_class, counts = own.argsort(stable=True), own.bincount()
    turn = torch.empty_like(own)
    turn[by_class] = torch.arange(len(own)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return positions[turn.argsort(stable=True)]


def _limited(positions: Tensor, limit: int | None) -> Tensor:
    return (positions if limit is None else positions[:limit]).sort().values
