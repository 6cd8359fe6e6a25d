"""Folders of corrupted images in the format in which CIFAR-10-C and CIFAR-100-C are published.

A file NAME.npy a corruption holds the test images at severity 1, then 2, to 5: uint8 (5 n, side, side, c), (50000, 32,
32, 3) in the published ones. ``labels.npy``, uint8 (5 n,), has the n labels five times. The files are large (154 MB
each in the published folders): they are mapped into memory, and one severity is read at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.checks import all_alike
from engine.data.dataset import Split
from engine.data.scratch import scratch
from engine.data.streamed import like
from engine.errors import InputError, unknown_name
from engine.reservation import reserve
from engine.whole_files import written_whole

N_SEVERITIES = 5
LABELS = "labels.npy"
NOTE = "robustune.json"
"""What was written by whom, of which test images: beside the files of the format, whose readers do not look at it."""
_CHUNK = 1000


class CorruptionFiles:
    """Corrupted images of a folder, checked.

    Args:
        folder: where the files lie.
        clean: the clean test images, or, as their indices say, some of them; corrupted ones must have their shape and
            labels.
        names: the corruptions that are wanted; None for all that the folder has.

    Attributes:
        names: the corruptions.

    Raises:
        InputError: no such folder; a file that is missing, truncated, no array, of another shape or not of uint8; or
            labels that are not those of the clean images.
    """

    def __init__(self, folder: str | Path, clean: Split, names: Sequence[str] | None = None) -> None:
        self.folder = folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"folder of corrupted images does not exist: {folder}")
        if names is None:
            names = sorted(path.stem for path in folder.glob("*.npy") if path.name != LABELS)
        self.names = tuple(names)
        wanted = [LABELS, *(f"{name}.npy" for name in names)]
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing or len(wanted) == 1:
            raise InputError(f"folder of corrupted images {folder} lacks {', '.join(missing) or 'corruptions'}")
        labels = mapped(folder / LABELS, (None,))
        self._n, rest = divmod(len(labels), N_SEVERITIES)
        if rest:
            raise InputError(f"{folder / LABELS} must have the labels {N_SEVERITIES} times, got {len(labels)} in all")
        self._clean = clean
        self._places = self._find_places()
        self._check_labels(labels)
        _, channels, side, _ = clean.images.shape
        shape = (N_SEVERITIES * self._n, side, side, channels)
        self._files = {name: mapped(folder / f"{name}.npy", shape) for name in names}

    def split(self, name: str, severity: int) -> Split:
        """Return the images of one corruption at one severity, read from the disk now: uint8 (n, c, side, side).

        Raises:
            InputError: a corruption that was not asked for, or a severity outside 1…5.
        """
        if name not in self._files:
            raise unknown_name("corruption of the folder", name, self._files)
        if severity not in range(1, N_SEVERITIES + 1):
            raise InputError(f"severity must be from 1 to {N_SEVERITIES}, got {severity!r}")
        pixels, first = self._files[name], (severity - 1) * self._n
        clean = self._clean.images
        is_whole = isinstance(clean, Tensor)
        images = scratch(clean.shape, clean.dtype, clean.device if is_whole else "cpu")
        for done in range(0, len(images), _CHUNK):  # no second set of this size
            places = self._places[done : done + _CHUNK]
            images[done : done + _CHUNK] = torch.from_numpy(pixels[first + places]).permute(0, 3, 1, 2)
        return Split(like(clean, images), self._clean.labels, self._clean.indices)

    def content_hashes(self) -> dict[str, str]:
        """Return {corruption: SHA-256 of its file, 32 hexadecimal digits}; the published folders take seconds.

        Raises:
            InputError: a file whose images are all the same at a severity: it was never filled, or not to its end.
        """
        hashes = {}
        for name in self.names:
            for severity in range(1, N_SEVERITIES + 1):
                images = self._files[name][(severity - 1) * self._n : severity * self._n]
                if self._n > 1 and all_alike(images):
                    raise InputError(
                        f"{self.folder / name}.npy has {self._n:,} images of severity {severity} that are all the same"
                    )
            with (self.folder / f"{name}.npy").open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        return hashes

    def _find_places(self) -> np.ndarray:
        """Return where in a severity's images those of the clean ones are: all, or by their indices.

        The folder's note has the indices of its images, where they do not count up from 0.
        """
        noted = _noted_indices(self.folder, self._n)
        if noted is not None:
            places = {index: place for place, index in enumerate(noted)}
            wanted = self._clean.indices.tolist()
            lacking = [index for index in wanted if index not in places]
            if lacking:
                raise InputError(
                    f"{self.folder} was written of {self._n} test images, and {len(lacking)} of the {len(wanted)} that "
                    f"are wanted were not among them, the first of these is test image {lacking[0]}"
                )
            return np.array([places[index] for index in wanted])
        if len(self._clean) == self._n:
            return np.arange(self._n)
        indices = self._clean.indices.cpu().numpy()
        if int(indices.max()) >= self._n:
            raise InputError(
                f"{self.folder} has {self._n} images a severity, too few: test image {int(indices.max())} is wanted"
            )
        return indices

    def _check_labels(self, labels: np.ndarray) -> None:
        expected = self._clean.labels.cpu().numpy()
        for severity in range(1, N_SEVERITIES + 1):
            own = labels[(severity - 1) * self._n + self._places]
            (different,) = np.nonzero(own != expected)
            if different.size:
                place = int(different[0])
                raise InputError(
                    f"{self.folder / LABELS} does not have the labels of the test images: at severity {severity}, "
                    f"image {int(self._places[place])} has {int(own[place])}, not {int(expected[place])} "
                    f"({different.size} of {len(expected)} differ)"
                )


def write_corruption_files(
    folder: str | Path,
    clean: Split,
    names: Sequence[str],
    corrupt: Callable[[Tensor, str, int, Tensor], Tensor],
    *,
    about: Mapping[str, Any],
) -> Iterator[tuple[str, int, int]]:
    """Write corrupted images in the published format, going on where an earlier call was interrupted.

    A file has its name once it is whole; until then it is ``.NAME.npy.part``, and a note in the folder says how many
    of its images are on the disk, and which of the test images they are. Images are corrupted a thousand at a time.

    Args:
        folder: where to; it is made.
        clean: the images, in the order of the files.
        names: the corruptions.
        corrupt: gets uint8 images (n, c, h, w), a corruption, a severity and the images' indices; returns their like.
        about: what decides the pixels (data, seed, …), JSON; a folder holds files of one kind only.

    Yields:
        (name, images of it on the disk, images of it in all), first where it begins, then after each part.

    Raises:
        InputError: the folder holds files of another kind, nobody's or damaged ones, cannot be written, or lacks the
            space; or there are labels over 255, which the format cannot hold.
    """
    folder = Path(folder)
    n, channels, side = len(clean), clean.images.shape[1], clean.images.shape[2]
    total = N_SEVERITIES * n
    if int(clean.labels.max()) > 255:
        raise InputError(f"the format has labels from 0 to 255, these go to {int(clean.labels.max())}")
    note = _open_note(folder, about)
    indices = clean.indices.tolist()
    if indices != list(range(n)) and note.get("indices") != indices:
        note["indices"] = indices
        _write_note(folder, note)
    shape = (total, side, side, channels)
    left = [name for name in names if not (folder / f"{name}.npy").is_file()]
    found = {name: _images_done(folder, name, note, shape) for name in names}
    _check_space(folder, len(left) * total * side * side * channels)
    _write_labels(folder / LABELS, np.tile(clean.labels.cpu().numpy().astype(np.uint8), N_SEVERITIES))
    for name in names:
        path, part = folder / f"{name}.npy", folder / f".{name}.npy.part"
        if path.is_file():
            yield name, total, total
            continue
        done = found[name]
        pixels = _mapped_to_write(part, shape, is_new=not done)
        yield name, done, total
        while done < total:
            severity, first = done // n + 1, done % n
            last = min(first + _CHUNK, n)
            images = corrupt(clean.images[first:last], name, severity, clean.indices[first:last])
            pixels[done : done + last - first] = images.permute(0, 2, 3, 1).cpu().numpy()
            pixels.flush()
            done += last - first
            note["images"][name] = done
            _write_note(folder, note)
            yield name, done, total
        del pixels
        part.replace(path)


def _mapped_to_write(part: Path, shape: tuple[int, ...], *, is_new: bool) -> np.memmap:
    """Return a file's array to be filled, whose space on the disk is reserved.

    Raises:
        InputError: the disk has no room for it.
    """
    pixels = np.lib.format.open_memmap(part, mode="w+" if is_new else "r+", dtype=np.uint8, shape=shape)
    try:
        with part.open("r+b") as file:
            reserve(file.fileno(), part.stat().st_size)
    except OSError as error:
        raise InputError(f"{part.parent} cannot be written: {error.strerror}") from error
    return pixels


def _images_done(folder: Path, name: str, note: Mapping[str, Any], shape: tuple[int, ...]) -> int:
    """Return how many images of a corruption are on the disk.

    Raises:
        InputError: its file, whole or in part, is damaged: numpy would fill what is missing of it with zeros.
    """
    path, part = folder / f"{name}.npy", folder / f".{name}.npy.part"
    done = note["images"].get(name, 0)
    if not path.is_file():
        if not done or not part.is_file():
            return 0
        path = part
    try:
        mapped(path, shape)
    except InputError as error:
        raise InputError(f"{error}; remove it to begin it anew") from error
    return shape[0] if path is not part else min(int(done), shape[0])


def _write_labels(path: Path, labels: np.ndarray) -> None:
    """Write labels, unless they are there."""
    with contextlib.suppress(InputError):  # there are none, or damaged ones
        if np.array_equal(mapped(path, labels.shape), labels):
            return
    np.save(path, labels)


def _open_note(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the folder's note, new or an earlier one's that fits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = (folder / NOTE).read_text() if (folder / NOTE).is_file() else None
        if text is None and any(folder.iterdir()):
            raise InputError(f"{folder} holds files that were not written by this command; give another folder")
        if text is None:
            text = json.dumps({"about": dict(about), "images": {}})
            _write_note(folder, json.loads(text))
    except OSError as error:
        raise InputError(f"folder cannot be written: {folder} ({error.strerror})") from error
    try:
        found = json.loads(text)
        is_whole = isinstance(found["about"], dict) and all(int(n) >= 0 for n in found["images"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise InputError(f"{folder / NOTE} is damaged; give another folder")
    wanted = json.loads(json.dumps(about))
    if found["about"] != wanted:
        other = [name for name in wanted if found["about"].get(name) != wanted[name]]
        differ = "; ".join(f"{name} is {found['about'].get(name)!r} there, {wanted[name]!r} here" for name in other)
        raise InputError(f"{folder} holds images that were corrupted otherwise ({differ}); give another folder")
    return dict(found)


def _noted_indices(folder: Path, n: int) -> list[int] | None:
    """Return the indices of a folder's images in the test images, as its note has them; None where it has none.

    Raises:
        InputError: it is damaged.
    """
    note = folder / NOTE
    if not note.is_file():
        return None
    try:
        found = json.loads(note.read_text())
        indices = found.get("indices") if isinstance(found, dict) else None
        if indices is None:
            return None
        if isinstance(indices, list) and len(indices) == n and all(type(index) is int for index in indices):
            return indices
    except (OSError, ValueError):
        pass
    raise InputError(f"{note}, which says of which {n} test images the folder is, is damaged")


def _write_note(folder: Path, note: Mapping[str, Any]) -> None:
    with written_whole(folder / NOTE) as file:
        file.write_text(json.dumps(note))


def _check_space(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise InputError(f"{folder} needs {n_bytes / 1e9:.2f} GB of space, its disk has {free / 1e9:.2f} GB")


def mapped(path: Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a file's array, mapped; None in the shape is any length."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read: it is truncated or no array of numpy's ({error})") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} must be one array, not an archive of several")
    fits = len(array.shape) == len(shape) and all(
        wanted is None or side == wanted for side, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.uint8 or not fits:
        expected = str(shape).replace("None", "n")
        raise InputError(f"{path} must be uint8 of the shape {expected}, got {array.dtype} of {array.shape}")
    return np.asarray(array)
