"""What JPEG does to images, in whole numbers and batched: the bytes that libjpeg gives, without writing a file.

Entropy coding loses nothing, so only colour conversion, chroma halving, the cosine transform (libjpeg's "islow") and
quantisation are left. A pass of the transform is a matrix of 13-bit whole numbers and a rounding; the products stay
below 2**53, so that float64 has them exactly, in any order and on any device.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from engine.corruptions.image_filters import fold_positions

# The tables of the standard, Annex K, in reading order.
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
_CONSTANT_BITS, _EXTRA_BITS = 13, 2
_BLOCK = 8


def through_jpeg(images: torch.Tensor, quality: int) -> torch.Tensor:
    """Return uint8 images (n, 1 or 3, h, w) saved as JPEG of ``quality`` and read again; colour with halved chroma."""
    height, width = images.shape[2:]
    if images.shape[1] == 1:
        planes = _through_blocks(images[:, 0].double(), quality, _LUMINANCE)
        return planes.to(torch.uint8).unsqueeze(1)
    luma, *chroma = _to_ycc(images.int())
    luma = _through_blocks(luma.double(), quality, _LUMINANCE)
    halved = torch.cat([_halve(plane) for plane in chroma])
    halved = _through_blocks(halved.double(), quality, _CHROMINANCE)[..., : (width + 1) // 2].int()
    blue, red = _double(halved)[:, :height, :width].chunk(2)
    return _to_rgb(luma.int(), blue, red)


def _to_ycc(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return luma and the two chromas, int32 (n, h, w) in 0…255, of RGB images (n, 3, h, w); 16-bit constants."""
    red, green, blue = images.unbind(dim=1)
    middle = (128 << 16) + (1 << 15) - 1
    luma = (red * 19595 + green * 38470).add_(blue * 7471).add_(1 << 15) >> 16
    to_blue = (blue * 32768 - red * 11059).sub_(green * 21709).add_(middle) >> 16
    to_red = (red * 32768 - green * 27439).sub_(blue * 5329).add_(middle) >> 16
    return luma, to_blue, to_red


def _to_rgb(luma: torch.Tensor, blue: torch.Tensor, red: torch.Tensor) -> torch.Tensor:
    blue, red = blue - 128, red - 128
    half = 1 << 15
    channels = (
        luma + ((red * 91881).add_(half) >> 16),
        luma + ((blue * -22554).sub_(red * 46802).add_(half) >> 16),
        luma + ((blue * 116130).add_(half) >> 16),
    )
    return torch.stack([channel.clamp_(0, 255).to(torch.uint8) for channel in channels], dim=1)


def _pad_to(planes: torch.Tensor, *multiples: int) -> torch.Tensor:
    """Return planes (n, h, w) with the last row and column repeated up to multiples of their numbers."""
    for dim, multiple in enumerate(multiples, start=1):
        length = planes.shape[dim]
        if length % multiple:
            places = torch.arange(-(-length // multiple) * multiple, device=planes.device).clamp_(max=length - 1)
            planes = planes.index_select(dim, places)
    return planes


def _halve(planes: torch.Tensor) -> torch.Tensor:
    """Return the means of 2×2 pixels, rounded half down and half up in turn along the rows, for whole blocks of them.

    The last column is repeated before, the last row after halving, as libjpeg does.
    """
    planes = _pad_to(planes, 2, 2 * _BLOCK)
    rows = planes[:, ::2] + planes[:, 1::2]
    sums = rows[..., ::2] + rows[..., 1::2]
    bias = 1 + torch.arange(sums.shape[2], dtype=sums.dtype, device=sums.device) % 2
    return sums.add_(bias) >> 2


def _double(planes: torch.Tensor) -> torch.Tensor:
    """Return planes (n, h, w) of twice the size: each pixel a weighting of the nearest ones, 9:3:3:1."""
    if planes.shape[2] <= 2:  # libjpeg's own limit
        return planes.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    n_images, height, width = planes.shape
    rows = planes.new_empty(n_images, height, 2, width)
    torch.add(planes * 3, _shifted(planes, 1, -1), out=rows[:, :, 0])
    torch.add(planes * 3, _shifted(planes, 1, 1), out=rows[:, :, 1])
    rows = rows.reshape(n_images, 2 * height, width)
    doubled = planes.new_empty(n_images, 2 * height, width, 2)
    doubled[..., 0] = (rows * 3).add_(_shifted(rows, 2, -1)).add_(8) >> 4
    doubled[..., 1] = (rows * 3).add_(_shifted(rows, 2, 1)).add_(7) >> 4
    return doubled.reshape(n_images, 2 * height, 2 * width)


def _shifted(planes: torch.Tensor, dim: int, step: int) -> torch.Tensor:
    length = planes.shape[dim]
    places = fold_positions(torch.arange(length, device=planes.device) + step, length, "nearest")
    return planes.index_select(dim, places)


def _through_blocks(planes: torch.Tensor, quality: int, table: tuple[int, ...]) -> torch.Tensor:
    """Return planes, float64 (n, h, w) of whole numbers in 0…255, quantised in the frequencies of 8×8 blocks."""
    n_images, height, width = planes.shape
    padded = _pad_to(planes, _BLOCK, _BLOCK)
    rows, columns = padded.shape[1] // _BLOCK, padded.shape[2] // _BLOCK
    # The block's own axes come first: what is multiplied by the matrix is then one wide matrix.
    blocks = padded.reshape(n_images, rows, _BLOCK, columns, _BLOCK).permute(4, 2, 0, 1, 3).reshape(_BLOCK, _BLOCK, -1)
    matrix = _transform(planes.device)
    steps = _quantisation(quality, table, planes.device)
    blocks = _pass(matrix, blocks - 128, _CONSTANT_BITS - _EXTRA_BITS).transpose(0, 1)
    blocks = _pass(matrix, blocks, _CONSTANT_BITS + _EXTRA_BITS)  # 8 times the coefficients
    magnitude = blocks.abs().add_(4 * steps + 0.5).div_(8 * steps).floor_()
    blocks = magnitude.mul_(steps).copysign_(blocks)
    blocks = _pass(matrix.T, blocks, _CONSTANT_BITS - _EXTRA_BITS).transpose(0, 1)
    blocks = _pass(matrix.T, blocks, _CONSTANT_BITS + _EXTRA_BITS + 3)
    blocks = blocks.add_(128).clamp_(0, 255).reshape(_BLOCK, _BLOCK, n_images, rows, columns)
    return blocks.permute(2, 3, 1, 4, 0).reshape(padded.shape)[:, :height, :width]


def _pass(matrix: torch.Tensor, blocks: torch.Tensor, n_bits: int) -> torch.Tensor:
    """Return the transform along the first axis of (8, 8, m), divided by 2**n_bits and rounded."""
    product = (matrix @ blocks.reshape(_BLOCK, -1)).mul_(2.0**-n_bits).add_(0.5).floor_()
    return product.reshape(blocks.shape)


@lru_cache(maxsize=8)
def _transform(device: torch.device) -> torch.Tensor:
    """Return libjpeg's cosine transform as a matrix of whole numbers, float64 (frequency, place)."""
    matrix = np.zeros((_BLOCK, _BLOCK), dtype=np.int64)
    one = 1 << _CONSTANT_BITS
    first = np.array([[1, 1, 1, 1], [1, -1, -1, 1]]) * one
    # Rotation by 3π/8, as 0.541196100, 0.765366865 and 1.847759065 in 13 bits.
    outer, inner = 4433 + 6270, 4433
    second = np.array([[outer, inner, -inner, -outer], [inner, 4433 - 15137, 15137 - 4433, -inner]])
    matrix[[0, 4], :4], matrix[[2, 6], :4] = first, second
    matrix[::2, 4:] = matrix[::2, 3::-1]
    for place, row in enumerate(np.eye(4, dtype=np.int64)):
        matrix[1::2, place] = _odd_part(row[::-1])
    matrix[1::2, 4:] = -matrix[1::2, 3::-1]
    return torch.from_numpy(matrix.astype(np.float64)).to(device)


def _odd_part(differences: np.ndarray) -> tuple[int, int, int, int]:
    """Return frequencies 1, 3, 5, 7 of the differences of opposite places, from the innermost pair to the outermost."""
    inmost, inner, outer, outmost = differences.tolist()
    z1, z2, z3, z4 = inmost + outmost, inner + outer, inmost + outer, inner + outmost
    z5 = (z3 + z4) * 9633
    z1, z2, z3, z4 = -7373 * z1, -20995 * z2, -16069 * z3 + z5, -3196 * z4 + z5
    return 12299 * outmost + z1 + z4, 25172 * outer + z2 + z3, 16819 * inner + z2 + z4, 2446 * inmost + z1 + z3


@lru_cache(maxsize=64)
def _quantisation(quality: int, table: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return a table's steps at a quality in 1…100: float64 (8, 8, 1), whole numbers in 1…255."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((np.array(table) * scale + 50) // 100, 1, 255)
    return torch.from_numpy(steps.astype(np.float64)).reshape(_BLOCK, _BLOCK, 1).to(device)
