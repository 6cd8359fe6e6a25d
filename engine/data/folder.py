"""A folder of images as a data set: ``train/`` and ``test/``, in each a folder per class."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.dataset import RawData, Split, register_dataset
from engine.digest import digest
from engine.errors import InputError
from engine.settings import DataSettings

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_GREY_MODES = {"1", "L", "I", "I;16", "I;16B", "I;16L", "F", "LA"}


class ImageFolder:
    """The reader of ``folder:PATH``.

    Rules: files are ordered by name; an image whose size is not ``image_size`` is cropped to its central square and
    resized (bilinear, antialiased); ``image_size`` is the first training image's shorter side unless given;
    ``channels`` is 1 if the first training image is grey, else 3, unless given (grey becomes r = g = b, colour
    becomes luma); transparency is laid over black; 16-bit images keep their upper 8 bits, and
    floats count from 0 to 255.

    Args:
        argument: the path.
        settings: image size and channels.

    Raises:
        InputError: no such folder, an empty one, one class, classes that differ between train and test.
    """

    def __init__(self, argument: str | None, settings: DataSettings) -> None:
        if not argument:
            raise InputError("data set 'folder' needs a path: folder:PATH")
        self.root = Path(argument).expanduser()
        if not self.root.is_dir():
            raise InputError(f"data folder does not exist: {self.root}")
        self.files = {part: _list_images(self.root, part) for part in ("train", "test")}
        self.class_names = tuple(sorted(self.files["train"]))
        if self.class_names != tuple(sorted(self.files["test"])):
            odd = sorted(set(self.files["train"]) ^ set(self.files["test"]))
            raise InputError(f"{self.root}: train/ and test/ must have the same classes, not in both: {', '.join(odd)}")
        if len(self.class_names) < 2:
            raise InputError(f"{self.root}: at least 2 classes are needed, got {', '.join(self.class_names)}")
        first = self.files["train"][self.class_names[0]][0]
        size, grey = _inspect(first)
        self.image_size = settings.image_size or size
        self.channels = settings.channels or (1 if grey else 3)

    def fingerprint(self) -> str:
        """Return the content hash of all files and of how they are decoded (32 hexadecimal digits)."""
        content = hashlib.sha256()
        for part, classes in self.files.items():
            for name, paths in sorted(classes.items()):
                for path in paths:
                    content.update(f"{part}/{name}/{path.name}\0".encode())
                    content.update(hashlib.sha256(path.read_bytes()).digest())
        return digest(["folder", 1, content.hexdigest(), self.image_size, self.channels])[:32]

    def read(self) -> RawData:
        """Decode every image.

        Raises:
            InputError: an image that cannot be read, named by its path.
        """
        return RawData(self._read_part("train"), self._read_part("test"), self.class_names)

    def _read_part(self, part: str) -> Split:
        paths = [path for name in self.class_names for path in self.files[part][name]]
        counts = torch.tensor([len(self.files[part][name]) for name in self.class_names])
        labels = torch.repeat_interleave(torch.arange(len(self.class_names)), counts)
        images = torch.empty(len(paths), self.channels, self.image_size, self.image_size, dtype=torch.uint8)
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda path: _decode(path, self.image_size, self.channels), paths, chunksize=64)
            for position, image in enumerate(decoded):
                images[position] = image
        return Split(images, labels, torch.arange(len(paths)))


def _list_images(root: Path, part: str) -> dict[str, list[Path]]:
    """Return {class: its image files, by name} of ``train`` or ``test``."""
    folder = root / part
    if not folder.is_dir():
        raise InputError(
            f"{root} has no folder {part!r}; expected {root}/train/CLASS/IMAGE and {root}/test/CLASS/IMAGE"
        )
    classes = {}
    for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        classes[child.name] = sorted(path for path in child.iterdir() if path.suffix.lower() in _SUFFIXES)
        if not classes[child.name]:
            raise InputError(f"class folder has no images: {child}")
    if not classes:
        raise InputError(f"folder has no classes (one folder each): {folder}")
    return classes


def _inspect(path: Path) -> tuple[int, bool]:
    """Return an image's shorter side and whether it is grey."""
    with _open(path) as image:
        return min(image.size), image.mode in _GREY_MODES


def _open(path: Path):  # type: ignore[no-untyped-def]
    from PIL import Image

    try:
        return Image.open(path)
    except Exception as error:  # Pillow's plug-ins raise many kinds: each means an unreadable file
        raise InputError(f"image cannot be read: {path} ({error})") from error


def _decode(path: Path, size: int, channels: int) -> Tensor:
    """Return one image as uint8 (channels, size, size)."""
    from PIL import Image

    with _open(path) as image:
        try:
            if image.mode.startswith(("I", "F")):
                image = _to_bytes(image)
            if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
            image = image.convert("L" if channels == 1 else "RGB")
            if image.size != (size, size):
                image = _fit(image, size)
            pixels = np.array(image)
        except Exception as error:  # as above
            raise InputError(f"image cannot be read: {path} ({error})") from error
    return torch.from_numpy(pixels if channels == 3 else pixels[..., None]).permute(2, 0, 1)


def _to_bytes(image):  # type: ignore[no-untyped-def]
    """Return whole numbers (of 16 bits) by their upper 8 bits, floats as they are; the same rule for every image."""
    from PIL import Image

    values = np.asarray(image)
    if image.mode != "F":
        values = values.astype(np.int64) >> 8
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _fit(image, size: int):  # type: ignore[no-untyped-def]
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)


register_dataset("folder")(ImageFolder)
