"""Pictures for the tests, as files' contents; among them PNGs that Pillow can read and not write."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int, width: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def saved(image: Image.Image | np.ndarray, format: str = "png", **options) -> bytes:
    """Return the content of a picture's file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def write(path: Path, image: Image.Image | np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
    return path


def png(width: int, depth: int, kind: int, rows: list[bytes], transparent: bytes = b"") -> bytes:
    """Return a PNG, chunk by chunk: ``kind`` 0 is grey, 2 colour, 4 grey with alpha; numbers are big-endian."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def tiff(values: np.ndarray, **tags: int) -> bytes:
    """Return a little-endian TIFF of one strip of 16-bit grey; tags by name over the usual ones."""
    numbers = {"photometric": 262, "orientation": 274}
    height, width = values.shape
    entries = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: values.size * 2}
    entries |= {numbers[name]: value for name, value in tags.items()}
    pixels = values.astype("<u2").tobytes()
    directory = struct.pack("<H", len(entries))
    for number, value in sorted(entries.items()):
        directory += struct.pack("<HHII", number, 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory + struct.pack("<I", 0)
