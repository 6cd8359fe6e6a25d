"""One picture file to uint8 pixels: the rule for all files, whatever their format and mode.

In this order:

1. Of an animation, or a file of several pages, the first frame.
2. Grey of more than 8 bits (modes I, I;16, F and their kin) becomes 8 bits by the scale of its set (``wide.py``).
   Colour of 16 bits a channel keeps its upper 8 bits. Black and white (mode 1) becomes 0 and 255.
3. The picture is turned and mirrored as its EXIF or TIFF orientation says, as viewers show it.
4. Transparency, a channel's, a palette's or a colour's, is laid over black.
5. Grey (1, L, LA, I, F) is r = g = b where 3 channels are wanted; palettes, RGB, CMYK, YCbCr and LAB are colour, and
   become luma (0.299 r + 0.587 g + 0.114 b) where one is. Colour profiles and gamma are not applied.
6. What is not of the wanted size is cropped to its central square and resized (bilinear, antialiased).

``VERSION`` is part of the fingerprint of every folder: raise it with any change of the pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from engine.data.wide import Extent, PictureError, Scales, is_wide, measure, to_grey

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 2
FORMATS = ("JPEG", "PNG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000")
"""What is opened, by Pillow's names, the usual first: nothing that starts a program (EPS) or is no picture (PDF)."""

_GREY = {"1", "L", "LA", "La"}
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_GREY_STEPS = {"L;2": 85, "L;4": 17}
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")


Fit = Callable[["Image", int], "Image"]


@dataclass(frozen=True)
class Header:
    """What a file says of its picture before it is decoded.

    Attributes:
        side: the shorter side in pixels.
        is_square: whether the other one is as long.
        is_grey: whether it has no colour.
        is_wide: whether it is grey of more than 8 bits.
        has_more: whether it has further frames or pages, which are not used.
    """

    side: int
    is_square: bool
    is_grey: bool
    is_wide: bool
    has_more: bool


@cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of the formats that are read, in lower case, the dot included."""
    from PIL import Image

    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)


def has_signature(start: bytes) -> bool:
    """Return whether a file's first 16 bytes are those of a picture."""
    inner = start[4:12] == b"ftypavif" or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
    return inner or start.startswith(_SIGNATURES)


def read_header(content: bytes) -> Header:
    """Return what a file says of its picture.

    Raises:
        PictureError: it is no picture, or its header is damaged.
    """
    with _opened(content) as image:
        width, height = image.size
        # Pillow opens PNGs of 16-bit grey with transparency as RGBA
        is_grey = image.mode in _GREY or is_wide(image.mode) or _raw_mode(image) == "LA;16B"
        # a preview that cameras put behind a photograph (MPO) is not missed
        has_more = image.format != "MPO" and getattr(image, "is_animated", False)
        return Header(min(width, height), width == height, is_grey, is_wide(image.mode), has_more)


def read_extent(content: bytes) -> Extent | None:
    """Return the extent of the values of a picture of more than 8 bits; None if it is transparent everywhere.

    Raises:
        PictureError: it is damaged, or has pixels that are not finite.
    """
    with _opened(content) as image:
        image.load()
        return measure(image)


def decode(content: bytes, side: int, channels: int, scales: Scales, *, fit: Fit | None = None) -> np.ndarray:
    """Return a file's picture as uint8 (channels, side, side), by the rule above.

    Args:
        content: the file's.
        side: in pixels.
        channels: 1 or 3.
        scales: of the pictures of more than 8 bits of its set.
        fit: brings a picture of another size to (side, side); None for its central square, resized.

    Raises:
        PictureError: it is no picture, damaged, or of a mode that has no rule.
    """
    with _opened(content) as image:
        raw = _raw_mode(image)
        image.load()
        turn = _TURNS.get(_orientation(image))
        _reduce_transparency(image, raw)
        image = to_grey(image, scales) if is_wide(image.mode) else image
        if image.mode in _ALPHA or "transparency" in image.info:
            image = _over_black(image)
        mode = "L" if channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)  # it would copy what has the mode already
        if turn is not None:
            image = _turned(image, turn)
        if image.size != (side, side):
            image = (fit or _fit)(image, side)
        pixels = np.array(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


@cache
def _formats() -> tuple[str, ...]:
    """Return those of the formats that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _opened(content: bytes) -> Iterator[Image]:
    """Open a file's picture; whatever Pillow raises while it is in use becomes a ``PictureError``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            yield image
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("no picture of a format that is read" if content else "it is empty") from error
    except Exception as error:  # Pillow's plug-ins raise many kinds: each means an unusable file
        raise PictureError(" ".join(str(error).split()) or type(error).__name__) from error


def _raw_mode(image: Image) -> str:
    """Return how a PNG that is not loaded yet has its pixels, in Pillow's words ("RGB;16B"); "" of other formats."""
    tiles = getattr(image, "tile", ())
    return str(tiles[0][3]) if image.format == "PNG" and tiles else ""


def _reduce_transparency(image: Image, raw: str) -> None:
    """Bring the colour that a PNG names as transparent to 8 bits, as Pillow brings the pixels alone."""
    value = image.info.get("transparency")
    if raw in _GREY_STEPS and isinstance(value, int):
        image.info["transparency"] = value * _GREY_STEPS[raw]
    elif raw == "RGB;16B" and isinstance(value, tuple):
        image.info["transparency"] = tuple(part >> 8 for part in value)


def _orientation(image: Image) -> int:
    """Return the orientation that is left to apply: a TIFF's, Pillow has applied."""
    if image.format == "TIFF":
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data beside a sound picture: viewers show it as it is stored
        return 1


def _turned(image: Image, turn: str) -> Image:
    from PIL import Image

    return image.transpose(Image.Transpose[turn])


def _over_black(image: Image) -> Image:
    from PIL import Image

    if image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)


def _fit(image: Image, side: int) -> Image:
    from PIL import Image

    shorter = min(image.size)
    left, top = (image.width - shorter) // 2, (image.height - shorter) // 2
    square = image.crop((left, top, left + shorter, top + shorter))
    return square.resize((side, side), Image.Resampling.BILINEAR)


def fit_as_usual(image: Image, side: int) -> Image:
    """Return a picture as networks for ImageNet are tested on it: its shorter side at 8/7 of ``side``, its centre cut.

    That is 256 for 224: torchvision's ``Resize`` and ``CenterCrop``, bilinear, to the bit.
    """
    from PIL import Image

    shorter, longer = side * 8 // 7, max(image.size) * (side * 8 // 7) // min(image.size)
    size = (shorter, longer) if image.width <= image.height else (longer, shorter)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2.0) for length in image.size)
    return image.crop((left, top, left + side, top + side))
