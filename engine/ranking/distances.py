"""Distances between the clean and the noisy activation map of one filter, and the registry that they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from engine.errors import InputError
from engine.registry import Registry

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

DISTANCES: Registry[Distance] = Registry("distance")

_VALUES_AT_ONCE = 2**15  # of each map, when sorting: 128 KiB
_FEW_VALUES = 128  # of a map, that numpy sorts by a network of comparisons, as quickly whatever they are


def register_distance(name: str) -> Callable[[Distance], Distance]:
    """Return a decorator that makes a function usable as ``distance=name``.

    The function gets clean and noisy maps, two float tensors ``(n, f, h, w)`` of one type and device without NaN, and
    returns ``(n, f)`` distances: ≥ 0, 0 for identical maps, each of its own pair of maps only.
    """
    return DISTANCES.register(name)


def filter_distances(clean_maps: torch.Tensor, noisy_maps: torch.Tensor, distance: str = "emd_1d") -> torch.Tensor:
    """Return the distance of each filter's clean and noisy map for each image: ``(n, f)``, float64, ≥ 0.

    Args:
        clean_maps: ``(n, f, h, w)``.
        noisy_maps: ``(n, f, h, w)``, the i-th of the same image as the i-th clean one.
        distance: a name in ``DISTANCES``.

    Raises:
        InputError: an unknown distance, maps that do not pair up, no maps, or values that are not finite.
    """
    return layers_distances({"": clean_maps}, {"": noisy_maps}, distance)[""]


def layers_distances(
    clean_maps: Mapping[str, torch.Tensor], noisy_maps: Mapping[str, torch.Tensor], distance: str
) -> dict[str, torch.Tensor]:
    """Return ``filter_distances`` of several layers' maps; on a GPU the host waits once, to hear that all are finite.

    Args:
        clean_maps: ``{layer: (n, f, h, w)}``.
        noisy_maps: of the same layers.
        distance: a name in ``DISTANCES``.

    Raises:
        InputError: as ``filter_distances``.
    """
    function = DISTANCES[distance]
    pairs = {layer: _as_pair(clean, noisy_maps[layer]) for layer, clean in clean_maps.items()}
    require_finite(extremes(maps for pair in pairs.values() for maps in pair), "distance")
    return {layer: function(*pair).double() for layer, pair in pairs.items()}


def _as_pair(clean_maps: torch.Tensor, noisy_maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return maps of one type, without gradients, that can be compared."""
    clean, noisy = torch.as_tensor(clean_maps), torch.as_tensor(noisy_maps)
    if clean.ndim != 4 or noisy.ndim != 4:
        raise InputError(f"activation maps must be (n, f, h, w), got {tuple(clean.shape)} and {tuple(noisy.shape)}")
    if len(clean) != len(noisy):
        raise InputError(
            f"paired maps need as many noisy images as clean ones, got {len(clean)} clean and {len(noisy)} noisy; "
            "for sets that do not pair up, compare their exemplars"
        )
    if clean.shape != noisy.shape:
        raise InputError(f"clean and noisy maps differ in shape: {tuple(clean.shape)} and {tuple(noisy.shape)}")
    if clean.numel() == 0:
        raise InputError(f"no activation maps to compare: the shape is {tuple(clean.shape)}")
    dtype = torch.promote_types(torch.promote_types(clean.dtype, noisy.dtype), torch.float32)
    return clean.detach().to(dtype), noisy.detach().to(dtype)


def extremes(maps: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return the least and the largest value of each of some maps, float64 (), on their device: NaN where one is."""
    return [extreme.double() for of_layer in maps for extreme in torch.aminmax(of_layer)]


def require_finite(found: Sequence[torch.Tensor], what: str) -> None:
    """Raise ``InputError`` unless no value is NaN or infinite; a device is waited for once.

    Args:
        found: ``extremes`` of all maps, which is far quicker than value by value.
        what: that is not defined of such maps.
    """
    if not bool(torch.isfinite(torch.stack(list(found))).all()):
        raise InputError(f"activation maps hold NaN or infinite values, so that no {what} is defined; did it diverge?")


def require_pixels(maps: torch.Tensor, distance: str) -> None:
    """Raise ``InputError`` for maps of a single pixel, between which ``distance`` says nothing."""
    if maps.shape[-2] * maps.shape[-1] < 2:
        raise InputError(
            f"distance {distance!r} needs activation maps of two pixels or more, got 1×1; use 'l1' or 'emd_1d' there"
        )


@register_distance("emd_1d")
def emd_1d(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Earth mover's distance of the two maps' values as distributions on the line; where they are plays no part.

    For as many values on both sides it is mean |sort(a) − sort(b)|. In units of activation.
    """
    clean, noisy = clean.flatten(2), noisy.flatten(2)
    if clean.device.type != "cpu":
        return (clean.sort(dim=2).values - noisy.sort(dim=2).values).abs().mean(dim=2)
    lines = [maps.reshape(-1, maps.shape[2]).numpy() for maps in (clean, noisy)]
    return torch.from_numpy(_mean_gap_of_sorted(*lines)).reshape(clean.shape[:2])


def _mean_gap_of_sorted(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Return mean |sort(a) − sort(b)| of each pair of lines, ``(m,)`` float64.

    On CPUs numpy sorts float32 several times faster than torch, and small blocks stay in the cache.
    """
    n_lines, n_values = clean.shape
    found = np.empty(n_lines)
    at_once = max(1, _VALUES_AT_ONCE // n_values)
    buffers = [np.empty((min(at_once, n_lines), n_values), dtype=clean.dtype) for _ in range(2)]
    for start in range(0, n_lines, at_once):
        block = slice(start, start + at_once)
        a, b = (_sort_into(buffer, lines[block]) for buffer, lines in zip(buffers, (clean, noisy), strict=True))
        np.abs(np.subtract(a, b, out=a), out=a)
        a.mean(axis=1, dtype=np.float64, out=found[block])
    return found


def _sort_into(buffer: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return the lines sorted, in the memory of ``buffer``.

    A quicksort is slow on equal values, and half of a map is zeros after a ReLU. So in larger maps, where nothing is
    negative, zeros are sorted as different negative numbers and put back.
    """
    ordered = buffer[: len(lines)]
    if lines.shape[1] <= _FEW_VALUES or lines.min() < 0:
        np.copyto(ordered, lines)
        ordered.sort(axis=1)
        return ordered
    np.multiply(lines == 0, np.arange(1, lines.shape[1] + 1, dtype=lines.dtype), out=ordered)
    np.subtract(lines, ordered, out=ordered)
    ordered.sort(axis=1)
    return np.maximum(ordered, 0, out=ordered)


@register_distance("l1")
def l1(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference, pixel by pixel. In units of activation; ≥ ``emd_1d``."""
    return (clean - noisy).abs().flatten(2).mean(dim=2)


@register_distance("l2")
def l2(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Root mean square difference, pixel by pixel. In units of activation; ≥ ``l1``."""
    return (clean - noisy).flatten(2).double().square().mean(dim=2).sqrt()


@register_distance("cosine")
def cosine(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """One minus the cosine of the angle between the maps: 0…2, whatever their lengths.

    Two maps of zeros are at distance 0, a map of zeros and another one at 1. Taken as half the squared distance of the
    unit vectors, which is the same number and exactly 0 for identical maps.
    """
    require_pixels(clean, "cosine")
    a, b = clean.flatten(2).double(), noisy.flatten(2).double()
    length_a, length_b = a.norm(dim=2, keepdim=True), b.norm(dim=2, keepdim=True)
    tiny = torch.finfo(torch.float64).tiny
    half_squared = (a / length_a.clamp_min(tiny) - b / length_b.clamp_min(tiny)).square().sum(dim=2) / 2
    one_is_empty = ((length_a == 0) != (length_b == 0)).squeeze(2)
    return torch.where(one_is_empty, torch.ones_like(half_squared), half_squared)
