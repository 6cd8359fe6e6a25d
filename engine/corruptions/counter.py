"""Random draws by counter: each is a pure function of (key, image index, element), whatever the batch or the device.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in int64 tensor
arithmetic. All that follows it is exact or correctly rounded (+, ×, table look-ups), so CPU and CUDA agree bit for bit.
"""

from __future__ import annotations

from functools import lru_cache

import torch

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
_N_ROUNDS = 10

# Each octave of the tail probability is cut into 2**8 segments: the error of the interpolated quantile is below 3e-6.
_SEGMENT_BITS = 8
_SEGMENT_SHIFT = 52 - _SEGMENT_BITS
_N_OCTAVES = 32


def philox(counter: tuple[torch.Tensor, ...], key: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Return the four 32-bit output words of Philox4x32-10 as int64 tensors.

    Args:
        counter: four int64 tensors of words in [0, 2**32) that broadcast against one another.
        key: two words in [0, 2**32).
    """
    word_0, word_1, word_2, word_3 = counter
    key_0, key_1 = key
    for _ in range(_N_ROUNDS):
        # A signed product wraps around to the right 64 bits; the mask undoes the sign that the shift brings in.
        product_0 = word_0 * _MULTIPLIERS[0]
        product_1 = word_2 * _MULTIPLIERS[1]
        word_0 = ((product_1 >> 32) ^ word_1 ^ key_0) & _WORD
        word_2 = ((product_0 >> 32) ^ word_3 ^ key_1) & _WORD
        word_1 = product_1 & _WORD
        word_3 = product_0 & _WORD
        key_0 = (key_0 + _WEYL[0]) & _WORD
        key_1 = (key_1 + _WEYL[1]) & _WORD
    return word_0, word_1, word_2, word_3


def random_words(key: int, indices: torch.Tensor, n_elements: int) -> torch.Tensor:
    """Return uniform 32-bit words: int64 (n, n_elements) in [0, 2**32).

    Args:
        key: the stream, in [0, 2**64).
        indices: int64 (n,), the images' indices in their data set, ≥ 0.
        n_elements: how many words an image gets; the first ones don't depend on it.
    """
    n_blocks = -(-n_elements // 4)
    block = torch.arange(n_blocks, device=indices.device).unsqueeze(0)
    index = indices.unsqueeze(1)
    counter = (block, torch.zeros_like(block), index & _WORD, index >> 32)
    words = philox(counter, (key & _WORD, key >> 32 & _WORD))
    return torch.stack(words, dim=2).flatten(1)[:, :n_elements]


def words_to_uniform(words: torch.Tensor) -> torch.Tensor:
    """Return 32-bit words as float64 in (0, 1): the middle of each word's interval."""
    return (words.double() + 0.5) * 2.0**-32


def words_to_normal(words: torch.Tensor) -> torch.Tensor:
    """Return 32-bit words as standard normal draws, float64, |z| < 6.4, by inversion of the distribution function.

    The highest bit is the sign; the others give the tail probability, whose quantile is interpolated linearly between
    knots that are dense in proportion to it: segments are found from the bits of the probability's own floating form.
    """
    intercepts, slopes = _normal_tables(words.device)
    probability = (words & 0x7FFFFFFF).double().add_(0.5)
    segment = (probability.view(torch.int64) >> _SEGMENT_SHIFT).sub_(1022 << _SEGMENT_BITS)
    magnitude = probability.mul_(slopes.take(segment)).add_(intercepts.take(segment))
    return magnitude.copysign_((0x7FFFFFFF - words).double())


@lru_cache(maxsize=8)
def _normal_tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return intercept and slope by segment; the argument is the tail probability in units of 2**-32."""
    octave = torch.arange(_N_OCTAVES, dtype=torch.float64).unsqueeze(1) - 1
    mantissa = 1 + torch.arange(2**_SEGMENT_BITS, dtype=torch.float64) / 2**_SEGMENT_BITS
    knots = torch.cat([(2.0**octave * mantissa).flatten(), torch.tensor([2.0**31], dtype=torch.float64)])
    # Rounding to float32 removes the last bits, in which machines' logarithms differ.
    quantiles = -torch.special.ndtri(knots * 2.0**-32).float().double()
    slopes = quantiles.diff() / knots.diff()
    intercepts = quantiles[:-1] - slopes * knots[:-1]
    return intercepts.to(device), slopes.to(device)
