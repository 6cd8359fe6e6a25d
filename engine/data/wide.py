"""Grey pictures of more than 8 bits: one scale from their numbers to 0…255, for all pictures of a set.

The rule, by what the set's own numbers are:

- whole numbers (16 or 32 bits a pixel) must be from 0 to 65535; they count as numbers of 8, 10, 12, 14 or 16 bits, the
  fewest that hold all of them, and the upper 8 of these bits are kept;
- floats: from 0 to 1 (0…1 becomes 0…255), or up to 255 with the greatest over 16 (as they are), rounded;
- with ``data.value_range=[black,white]`` in either case: black…white becomes 0…255, rounded; what is beyond is clipped.

Anything else has no meaning that can be known, and is refused by the file's name; so are numbers that are not finite.
Pixels that a picture names as transparent do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

BITS = (8, 10, 12, 14, 16)
"""How many bits whole numbers may have."""

_DIM = 16.0
"""Floats of which none is greater are no picture in 0…255, but one in 0…1 that overshoots, or something else."""

_ASK = "say by data.value_range=[BLACK,WHITE] which values are black and white"


class PictureError(Exception):
    """A file cannot be used as a picture; the message says why, in words that follow its name."""


@dataclass(frozen=True)
class Extent:
    """The values of a picture.

    Attributes:
        low: the least.
        high: the greatest.
        is_float: whether they are floats.
    """

    low: float
    high: float
    is_float: bool


@dataclass(frozen=True)
class Scale:
    """How numbers become 0…255.

    Attributes:
        black: the number that becomes 0.
        white: the number that becomes 255.
        shift: bits of a whole number that are dropped; None to spread black…white evenly, rounded.
    """

    black: float
    white: float
    shift: int | None = None

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Return numbers (h, w) as uint8 (h, w)."""
        if self.shift is not None:
            return (values.astype(np.int64) >> self.shift).clip(0, 255).astype(np.uint8)
        even = (values.astype(np.float64) - self.black) * (255 / (self.white - self.black))
        return np.rint(even).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Scales:
    """The scales of a set's pictures of more than 8 bits; None where it has none of that kind."""

    whole: Scale | None = None
    real: Scale | None = None
    notes: tuple[str, ...] = ()


def is_wide(mode: str) -> bool:
    """Return whether pictures of a mode of Pillow's have more than 8 bits a pixel of one channel."""
    return mode.startswith(("I", "F"))


def measure(image: Image) -> Extent | None:
    """Return the extent of a loaded picture's values; None if all its pixels are transparent.

    Raises:
        PictureError: pixels that are not finite.
    """
    values, is_float = np.asarray(image), image.mode.startswith("F")
    transparent = transparent_pixels(image, values)
    if transparent is not None:
        values = values[~transparent]
    n_odd = int(np.count_nonzero(~np.isfinite(values))) if is_float else 0
    if n_odd:
        raise PictureError(f"{n_odd:,} of {values.size:,} pixels are not finite")
    return Extent(float(values.min()), float(values.max()), is_float) if values.size else None


def to_grey(image: Image, scales: Scales) -> Image:
    """Return a loaded picture in 8 bits: mode L, or LA if some of its pixels are transparent.

    Raises:
        PictureError: it is of a kind that ``scales`` was not made for.
    """
    from PIL import Image

    values = np.asarray(image)
    scale = scales.real if image.mode.startswith("F") else scales.whole
    if scale is None:
        raise PictureError("it changed while the folder was read")
    pixels = scale.to_bytes(np.where(np.isfinite(values), values, 0))
    if _counts_from_white(image):
        pixels = 255 - pixels
    grey, transparent = Image.fromarray(pixels), transparent_pixels(image, values)
    if transparent is not None:
        grey = Image.merge("LA", (grey, Image.fromarray(np.where(transparent, 0, 255).astype(np.uint8))))
    return grey


def transparent_pixels(image: Image, values: np.ndarray) -> np.ndarray | None:
    """Return where a picture is transparent, bool (h, w): a PNG names one value that is; None if it names none."""
    value = image.info.get("transparency")
    return values == value if isinstance(value, int) else None


def choose_scales(extents: Mapping[Path, Extent], asked: Sequence[float] | None) -> Scales:
    """Return the scales of a set's pictures of more than 8 bits.

    Args:
        extents: of each of them.
        asked: black and white, if they are given.

    Raises:
        InputError: values that have no meaning by the rule; it names the file that has them.
    """
    if asked is not None:
        scale = Scale(float(asked[0]), float(asked[1]))
        beyond = sum(extent.low < scale.black or extent.high > scale.white for extent in extents.values())
        note = f"{len(extents):,} pictures have more than 8 bits: {scale.black:g} is black and {scale.white:g} white"
        return Scales(scale, scale, (note + (f"; what is beyond in {beyond:,} of them is clipped" if beyond else ""),))
    scales: dict[str, Scale] = {}
    notes = []
    for kind, is_float in (("whole", False), ("real", True)):
        chosen = {path: extent for path, extent in extents.items() if extent.is_float == is_float}
        if chosen:
            scales[kind], taken_as = (_scale_of_floats if is_float else _scale_of_whole)(chosen)
            low, high = min(one.low for one in chosen.values()), max(one.high for one in chosen.values())
            named = "floats" if is_float else "whole numbers"
            pictures = "1 picture has" if len(chosen) == 1 else f"{len(chosen):,} pictures have"
            notes.append(f"{pictures} more than 8 bits: {named} from {low:g} to {high:g}, taken as {taken_as}")
    return Scales(scales.get("whole"), scales.get("real"), tuple(notes))


def _scale_of_whole(extents: Mapping[Path, Extent]) -> tuple[Scale, str]:
    most = 2 ** BITS[-1] - 1
    _refuse_beyond(extents, most, f"whole numbers must be from 0 to {most}")
    high = max(extent.high for extent in extents.values())
    bits = next(bits for bits in BITS if high < 2**bits)
    return Scale(0, 2**bits - 1, shift=bits - 8), f"numbers of {bits} bits"


def _scale_of_floats(extents: Mapping[Path, Extent]) -> tuple[Scale, str]:
    _refuse_beyond(extents, 255.0, "floats must be from 0 to 1, or from 0 to 255")
    path, extent = max(extents.items(), key=lambda item: item[1].high)
    if extent.high <= 1:
        return Scale(0.0, 1.0), "0…1"
    if extent.high <= _DIM:
        raise InputError(
            f"{path} has floats from {extent.low:g} to {extent.high:g}, the greatest of the folder: neither 0…1 nor "
            f"0…255; {_ASK}"
        )
    return Scale(0.0, 255.0), "0…255"


def _refuse_beyond(extents: Mapping[Path, Extent], most: float, rule: str) -> None:
    beyond = [path for path, extent in extents.items() if extent.low < 0 or extent.high > most]
    if beyond:
        extent = extents[beyond[0]]
        others = f" (and {len(beyond) - 1:,} other pictures have such values)" if len(beyond) > 1 else ""
        raise InputError(
            f"{beyond[0]} has values from {extent.low:g} to {extent.high:g}{others}: {rule}; if they mean something "
            f"else, {_ASK}"
        )


def _counts_from_white(image: Image) -> bool:
    """Return whether a TIFF says that 0 is white: Pillow heeds it up to 8 bits only."""
    photometric = 262
    return getattr(image, "tag_v2", {}).get(photometric) == 0
