"""Random draws by counter: each is a pure function of (key, image index, element), whatever the batch or the device.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
output i of a seed is a mix of seed + i·γ, so that any output can be had without those before it. A key's outputs seed
the images, an image's outputs are its words. In int64 tensors that is a fifth of the work of Philox4x32-10.
All that follows is exact or correctly rounded (+, ×, table look-ups), so CPU and CUDA agree bit for bit.
"""

from __future__ import annotations

from functools import lru_cache

import torch

_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64), (31, None))

# Each octave of the tail probability is cut into 2**8 segments: the error of the interpolated quantile is below 3e-6.
_SEGMENT_BITS = 8
_SEGMENT_SHIFT = 23 - _SEGMENT_BITS
_N_OCTAVES = 32
_FIRST_SEGMENT = 126 << _SEGMENT_BITS  # of the probability 0.5·2**-32, by its float32 form
_SIGN = -(2**31)


def splitmix64(seeds: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return outputs of SplitMix64: int64 tensors whose bits are unsigned words.

    Args:
        seeds: int64.
        places: which outputs, int64 ≥ 0; broadcasts against the seeds.
    """
    state = (places + 1) * _GAMMA + seeds
    shifted = torch.empty_like(state)
    for shift, multiplier in _MIX:
        # The mask takes away the sign that the shift brings in.
        torch.bitwise_right_shift(state, shift, out=shifted)
        state.bitwise_xor_(shifted.bitwise_and_((1 << 64 - shift) - 1))
        if multiplier is not None:
            state.mul_(multiplier)
    return state


def random_words(key: int, indices: torch.Tensor, n_elements: int) -> torch.Tensor:
    """Return uniform 32-bit words: int32 (n, n_elements), all values of the type equally likely.

    Args:
        key: the stream, in [0, 2**63).
        indices: int64 (n,), the images' indices in their data set, ≥ 0.
        n_elements: how many words an image gets; the first ones don't depend on it.
    """
    seeds = splitmix64(torch.full_like(indices, key), indices)
    pairs = splitmix64(seeds.unsqueeze(1), torch.arange(-(-n_elements // 2), device=indices.device))
    return pairs.view(torch.int32)[:, :n_elements]


def words_to_uniform(words: torch.Tensor) -> torch.Tensor:
    """Return words as float64 in (0, 1), in their order: the middle of each word's interval."""
    return words.double().add_(2.0**31 + 0.5).mul_(2.0**-32)


def words_to_normal(words: torch.Tensor) -> torch.Tensor:
    """Return words as standard normal draws, float64 of float32's precision, |z| < 6.4, by inversion.

    The highest bit is the sign; the others give the tail probability, whose quantile is interpolated linearly between
    knots that are dense in proportion to it: segments are found from the bits of the probability's own floating form.
    """
    intercepts, slopes = _normal_tables(words.device)
    probability = (words & 0x7FFFFFFF).float().add_(0.5)
    segment = (probability.view(torch.int32) >> _SEGMENT_SHIFT).sub_(_FIRST_SEGMENT).long().flatten()
    # `index_select` of one axis is several times as fast as `take`.
    magnitude = slopes.index_select(0, segment).mul_(probability.flatten()).add_(intercepts.index_select(0, segment))
    magnitude.view(torch.int32).bitwise_xor_(words.flatten() & _SIGN)
    return magnitude.double().reshape(words.shape)


@lru_cache(maxsize=8)
def _normal_tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return intercept and slope by segment, float32; the argument is the tail probability in units of 2**-32."""
    octave = torch.arange(_N_OCTAVES, dtype=torch.float64).unsqueeze(1) - 1
    mantissa = 1 + torch.arange(2**_SEGMENT_BITS, dtype=torch.float64) / 2**_SEGMENT_BITS
    knots = torch.cat([(2.0**octave * mantissa).flatten(), torch.tensor([2.0**31], dtype=torch.float64)])
    # Rounding to float32 removes the last bits, in which machines' logarithms differ.
    quantiles = -torch.special.ndtri(knots * 2.0**-32).float().double()
    slopes = quantiles.diff() / knots.diff()
    intercepts = quantiles[:-1] - slopes * knots[:-1]
    # The largest words round up to 2**31, the end of the last segment.
    intercepts, slopes = (torch.cat([table, table[-1:]]).float().to(device) for table in (intercepts, slopes))
    return intercepts, slopes
