"""A folder of images as a data set: ``train/`` and ``test/``, in each a folder per class, or classes to be split."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from engine.data.checks import check_memory
from engine.data.dataset import RawData, Split, register_dataset
from engine.data.listing import shown
from engine.data.parallel import in_order, n_threads
from engine.data.parts import Parts, find_parts
from engine.data.pictures import VERSION, decode, read_extent
from engine.data.progress import counted
from engine.data.shards import ShardedImages
from engine.data.streamed import StreamedImages
from engine.data.survey import Survey, common_side, notes_on_shape, read_content, refuse, survey
from engine.data.wide import Extent, PictureError, Scales, choose_scales
from engine.digest import digest
from engine.errors import InputError
from engine.settings import DataSettings

T = TypeVar("T")
Allot = Callable[[str, tuple[int, ...]], ShardedImages]
_PIXELS_OF_A_LARGE_PICTURE = 64**2
"""Below that, Python's share of the decoding is so large that threads get into each other's way."""


class ImageFolder:
    """The reader of ``folder:PATH``.

    Which files are used: ``listing.py``. How one is decoded: ``pictures.py``, and ``wide.py`` for more than 8 bits.
    Unless they are given, ``image_size`` is the shorter side that more than half of all pictures have, and ``channels``
    is 3 if any picture is coloured, else 1. The order of the files decides neither.

    Args:
        argument: the path.
        settings: image size, channels, the range of values, and how a folder without ``train/`` and ``test/`` is split.

    Raises:
        InputError: no such folder, one of another form, an empty class, one class, classes that differ between train
            and test.
    """

    kind: ClassVar = "folder"
    own_settings: ClassVar[tuple[str, ...]] = ("test_fraction", "value_range", "classes")
    _fit: ClassVar[Any] = None
    _are_limits_balanced: ClassVar = False

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        if not argument:
            raise InputError(f"data set {self.kind!r} needs a path: {self.kind}:PATH")
        self.root = Path(argument).expanduser()
        if not self.root.is_dir():
            raise InputError(f"data folder does not exist: {shown(self.root)}")
        self._settings = settings
        self._parts = self._find_parts()

    def _find_parts(self) -> Parts:
        return find_parts(self.root, self._settings)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a person should know of the files, a sentence each."""
        return (*self._parts.notes, *notes_on_shape(self._survey.headers, *self._shape), *self._note_on_copies())

    def fingerprint(self) -> str:
        """Return the content hash of all files and of how they are decoded (32 hexadecimal digits).

        Raises:
            InputError: files that can't be used, all of them; pictures of many sizes.
        """
        if self._survey.bad:
            self._refuse(self._survey.bad)
        content = hashlib.sha256()
        for part, files in self._parts:
            for path, place, index in zip(files.paths, files.places, files.indices, strict=True):
                content.update(os.fsencode(f"{part}/{place}\0{index}\0") + self._survey.digests[path])
        return digest([self.kind, VERSION, content.hexdigest(), *self._shape, self._settings.value_range])[:32]

    def read(self, allot: Allot | None = None) -> RawData:
        """Decode every picture.

        Args:
            allot: gives the place where a part's pictures go, by the part's name and their shape; None for memory.

        Raises:
            InputError: files that can't be used, all of them by name; values without meaning; more than memory holds.
        """
        self.fingerprint()  # what is wrong with the files is said first
        side, channels = self._shape
        if allot is None:
            check_memory(self._total, channels, side)
        scales = self._scales()
        decoder = partial(self._decode, side=side, channels=channels, scales=scales)
        bad: dict[Path, str] = {}
        splits = []
        for part, files in self._parts:
            shape = (len(files.paths), channels, side, side)
            images: np.ndarray | ShardedImages = np.zeros(shape, np.uint8) if allot is None else allot(part, shape)
            for place, found in enumerate(self._each(decoder, files.paths, f"decoding {part} pictures")):
                if isinstance(found, PictureError):
                    bad[files.paths[place]] = str(found)
                else:
                    images[place] = found
            pixels = torch.from_numpy(images) if isinstance(images, np.ndarray) else StreamedImages.of(images)
            splits.append(Split(pixels, torch.tensor(files.labels), torch.tensor(files.indices)))
        refuse(bad, self._total)
        names = tuple(map(shown, self._parts.class_names))
        balanced = self._are_limits_balanced
        return RawData(splits[0], splits[1], names, notes=scales.notes, are_limits_balanced=balanced)

    @cached_property
    def _survey(self) -> Survey:
        with _quiet():
            return survey([path for _, part in self._parts for path in part.paths])

    @cached_property
    def _total(self) -> int:
        return sum(len(part.paths) for _, part in self._parts)

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """Return the side and the number of channels that all pictures are brought to."""
        headers = self._survey.headers
        side = self._settings.image_size or common_side(headers, self.root)
        return side, self._settings.channels or (1 if all(header.is_grey for header in headers.values()) else 3)

    def _scales(self) -> Scales:
        """Return the scales of the pictures of more than 8 bits.

        Raises:
            InputError: pixels that are not finite, or values without meaning.
        """
        wide = [path for path, header in self._survey.headers.items() if header.is_wide]
        asked = self._settings.value_range
        if asked is not None and not wide:
            raise InputError(
                f"`data.value_range` is for pictures of more than 8 bits, of which {shown(self.root)} has none, got "
                f"{list(asked)}"
            )
        found = dict(zip(wide, self._each(self._measure, wide, "measuring pictures"), strict=True))
        bad = {path: str(value) for path, value in found.items() if isinstance(value, PictureError)}
        if bad:
            self._refuse(bad)
        extents = {path: value for path, value in found.items() if isinstance(value, Extent)}
        return choose_scales(extents, asked)

    def _refuse(self, bad: Mapping[Path, str]) -> None:
        """Raise ``InputError`` for bad files, and for all others whose pixels turn out to be bad."""
        paths = [path for path in self._survey.headers if path not in bad]
        tried = zip(paths, self._each(self._try, paths, "looking for other bad pictures"), strict=True)
        more = {path: str(found) for path, found in tried if isinstance(found, PictureError)}
        refuse({**bad, **more}, self._total)

    def _decode(self, path: Path, side: int, channels: int, scales: Scales) -> np.ndarray:
        return decode(self._content(path), side, channels, scales, fit=self._fit)

    def _measure(self, path: Path) -> Extent | None:
        return read_extent(self._content(path))

    def _try(self, path: Path) -> object:
        return self._measure(path) if self._survey.headers[path].is_wide else self._decode(path, 8, 3, Scales())

    def _content(self, path: Path) -> bytes:
        content = read_content(path)
        if hashlib.sha256(content).digest() != self._survey.digests[path]:
            raise PictureError("it changed while the folder was read")
        return content

    def _each(self, work: Callable[[Path], T], paths: Sequence[Path], what: str) -> Iterator[T | PictureError]:
        """Yield what work gives of each file, in their order, or why it is bad; large pictures in parallel."""

        def attempt(path: Path) -> T | PictureError:
            try:
                return work(path)
            except PictureError as error:
                return error

        headers = self._survey.headers
        n_pixels = sum(headers[path].side ** 2 for path in paths)
        threads = n_threads() if n_pixels >= _PIXELS_OF_A_LARGE_PICTURE * len(paths) else 1
        with _quiet():
            yield from counted(in_order(attempt, paths, threads=threads), len(paths), what)

    def _note_on_copies(self) -> tuple[str, ...]:
        """Return that test pictures are training pictures too, if any are."""
        train, test = ([self._survey.digests[path] for path in files.paths] for _, files in self._parts)
        known = set(train)
        n_copies = sum(content in known for content in test)
        if not n_copies:
            return ()
        return (f"{n_copies:,} of {len(test):,} test pictures are, byte for byte, training pictures too",)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's remarks on single files (odd EXIF data, say) from the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


register_dataset("folder")(ImageFolder)
