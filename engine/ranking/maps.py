"""Activation maps of chosen layers, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import nn

from engine.data.streamed import Images
from engine.errors import InputError, unknown_name
from engine.precision import in_full, network_pass
from engine.ranking.filters import FilterUnit, filter_units, wanted_layers
from engine.ranking.trace import PLACES, ForwardStopError, ForwardTrace, Sighting, evaluating

BATCH = 256
"""Images whose maps are in memory at a time, if nothing else is said."""


def activation_maps(
    model: nn.Module,
    images: Images,
    layers: str | Iterable[str] | None = None,
    *,
    at: str = "activation",
    batch_size: int = BATCH,
) -> Iterator[dict[str, torch.Tensor]]:
    """Return an iterator over batches of activation maps, ``{layer: (n, f, h, w)}``, in the order of the images.

    Memory holds one batch of maps at a time. The model runs in evaluation mode without gradients, no further than the
    last map that is asked for, and between the batches it is as it was before: modes and hooks are its own.

    Args:
        model: takes float images in [0, 1].
        images: ``(n, c, h, w)``, float in [0, 1] or uint8, on any device, or streamed; each batch goes to the model's.
        layers: a name, several, or None for all of ``filter_layers``.
        at: "convolution", the layer's own output; "normalisation", after the normalisation that takes it directly (the
            convolution's where there is none); "activation", after the activation that takes this directly, and the
            ReLU of it where none does, as before a residual addition.
        batch_size: images in a batch.

    Raises:
        InputError: an unknown layer or place, no images, images of another shape, or a layer that the forward pass
            does not reach.
    """
    if batch_size < 1:
        raise InputError(f"`batch_size` must be ≥ 1, got {batch_size}")
    read = map_reader(model, images, layers, at=at)
    return (read(batch) for batch in images.split(batch_size))


def map_reader(
    model: nn.Module, images: Images, layers: str | Iterable[str] | None = None, *, at: str = "activation"
) -> Callable[[torch.Tensor], dict[str, torch.Tensor]]:
    """Return what gives a batch's activation maps, as ``activation_maps`` does, which says what the arguments are.

    Args:
        model: as there.
        images: such as batches are to be of.
        layers: as there.
        at: as there.

    Raises:
        InputError: as there.
    """
    if at not in PLACES:
        raise unknown_name("place for activation maps", at, PLACES)
    check_images(images)
    wanted = wanted_layers(model, layers)
    units = filter_units(model, _model_input(model, images[:1]))
    for layer in wanted:
        if layer not in units:
            raise InputError(f"the model's forward pass does not run layer {layer!r}, so that it has no activation map")
    sources = {layer: _source(units[layer], at) for layer in wanted}
    return partial(_maps, model, sources=sources, at=at)


def check_images(images: Images) -> None:
    """Raise ``InputError`` unless these are images ``(n, c, h, w)``, at least one, uint8 or floating point."""
    if not isinstance(images, Images) or images.ndim != 4:
        raise InputError(f"images must be a tensor (n, c, h, w), got {getattr(images, 'shape', type(images).__name__)}")
    if len(images) == 0:
        raise InputError("the set of images is empty")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise InputError(f"images must be uint8 or float in [0, 1], got {images.dtype}")


def _maps(model: nn.Module, batch: torch.Tensor, *, sources: dict[str, str], at: str) -> dict[str, torch.Tensor]:
    def complete(seen: dict[str, Sighting]) -> bool:
        return all(layer in seen and place in seen[layer].maps for layer, place in sources.items())

    trace = ForwardTrace(model, tuple(sources), keep=sources, complete=complete)
    with evaluating(model):
        try:
            with trace.watch(), network_pass(batch.device):
                model(_model_input(model, batch))
        except ForwardStopError:
            pass
    maps = {layer: in_full(trace.seen[layer].maps[place]) for layer, place in sources.items()}
    return {
        layer: found.relu_() if at == "activation" and sources[layer] != at else found for layer, found in maps.items()
    }


def place_of_maps(at: str, units: Iterable[FilterUnit]) -> str:
    """Return the first place at which some units have the maps that they have ``at`` another one."""
    units = tuple(units)
    if at == "activation":
        return at  # nothing else ends in an activation, the ReLU by rule included
    return next(place for place in PLACES if all(_source(unit, place) == _source(unit, at) for unit in units))


def _source(unit: FilterUnit, at: str) -> str:
    """Return the place where the map is taken from: the last one up to ``at`` that the unit has."""
    has = {"activation": unit.function, "normalisation": unit.normalisation, "convolution": unit.convolution}
    return next(place for place in reversed(PLACES[: PLACES.index(at) + 1]) if has[place] is not None)


def _model_input(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the images as floats in [0, 1] of the model's type, on its device."""
    parameter = next(model.parameters(), images)
    dtype = parameter.dtype if parameter.is_floating_point() else torch.float32
    moved = images.to(parameter.device)
    return moved.to(dtype) / 255 if moved.dtype == torch.uint8 else moved.to(dtype)
