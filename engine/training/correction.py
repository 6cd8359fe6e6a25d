"""Correction units: small blocks behind the most affected filters, trained while the network itself stays as it is.

The idea is DeepCorrect's (Borkar and Karam, 2019): leave the filters alone and learn to repair what they respond. The
shape of the unit is chosen here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputError

CHILD = "correction"
"""The name of a unit inside the convolution that it corrects."""
_FILTERS = f".{CHILD}.filters"


class CorrectionUnit(nn.Module):
    """Adds to some of a layer's maps what two 3×3 convolutions, with a ReLU between them, make of these maps.

    It has 2·(9·k² + k) parameters for k maps. The second convolution starts at zero: a new unit changes nothing.

    Args:
        filters: indices of the maps, int64 (k,).
    """

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        n_maps = len(filters)
        self.first = nn.Conv2d(n_maps, n_maps, 3, padding=1)
        self.second = nn.Conv2d(n_maps, n_maps, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        self.filters: Tensor
        self.register_buffer("filters", filters.clone())

    def forward(self, maps: Tensor) -> Tensor:
        """Return all maps (n, f, h, w), the unit's own corrected."""
        own = maps[:, self.filters]
        return maps.index_add(1, self.filters, self.second(F.relu(self.first(own))))


def add_correction(network: nn.Module, layer: str, filters: Tensor) -> CorrectionUnit:
    """Put a unit behind a convolution of a network, as a child of it, and return it.

    Raises:
        InputError: an index is outside the layer or given twice, or the layer has a unit already.
    """
    convolution = network.get_submodule(layer)
    n_filters = len(convolution.weight)  # type: ignore[arg-type]
    inside = not len(filters) or (int(filters.min()) >= 0 and int(filters.max()) < n_filters)
    if not inside or len(filters.unique()) < len(filters):
        raise InputError(f"layer {layer} has {n_filters} filters, got the indices {filters.tolist()}")
    if hasattr(convolution, CHILD):
        raise InputError(f"layer {layer} has a correction unit already")
    unit = CorrectionUnit(filters).to(convolution.weight.device)  # type: ignore[arg-type]
    convolution.add_module(CHILD, unit)
    convolution.register_forward_hook(_correct)
    return unit


def add_given_corrections(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Put units behind the layers of a network that have some among its weights, by which alone they are known.

    Args:
        network: it gets the units; their own weights are for the caller to load.
        weights: {name: tensor} of the whole network; of the units, ``filters`` has its values.

    Raises:
        InputError: what ``add_correction`` refuses.
    """
    for name, values in weights.items():
        if name.endswith(_FILTERS):
            add_correction(network, name.removesuffix(_FILTERS), values)
    return network


def has_corrections(weights: Iterable[str]) -> bool:
    """Return whether there are units among the names of a network's weights."""
    return any(name.endswith(_FILTERS) for name in weights)


def _correct(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Pass a convolution's output through its unit; a function of its own, so that copies of the module keep it."""
    return module.get_submodule(CHILD)(output)


class CorrectedFilters(nn.Module):
    """A network of which only correction units are trained.

    Args:
        network: the trained network; it gets the units, and its own parameters no longer require gradients.
        selected: {layer name: indices of the filters that get a unit}; layers without any get none.
        generator: draws the units' weights; on the CPU.

    Raises:
        InputError: nothing is selected, or what ``add_correction`` refuses.
    """

    def __init__(self, network: nn.Module, selected: Mapping[str, Tensor], *, generator: torch.Generator) -> None:
        super().__init__()
        self._network = (network.eval().requires_grad_(False),)  # in a tuple, so that it is no submodule
        self._runs = self._network
        chosen = {layer: filters.sort().values for layer, filters in selected.items() if len(filters)}
        if not chosen:
            raise InputError("no filter is selected for correction")
        units = {layer: add_correction(network, layer, filters) for layer, filters in chosen.items()}
        for unit in units.values():
            _draw(unit.first, generator)
        self._layers = list(units)
        self.units = nn.ModuleList(units.values())

    @property
    def network(self) -> nn.Module:
        """Return the network, with its units."""
        return self._network[0]

    @property
    def tuned_names(self) -> list[str]:
        """Return the names, in the network, of the units' parameters."""
        return [
            f"{layer}.{CHILD}.{name}"
            for layer, unit in zip(self._layers, self.units, strict=True)
            for name, _ in unit.named_parameters()
        ]

    def start_from(self, rest: nn.Module) -> None:
        """Take from now on what the rest of a cut network takes (see ``cut_network``) instead of images."""
        self._runs = (rest,)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of float images (n, c, h, w), or of features after ``start_from``."""
        return self._runs[0](images)

    def changes(self) -> dict[str, Tensor]:
        """Return the units' values and filters, by name in the network."""
        return {
            f"{layer}.{CHILD}.{name}:values": value.detach()
            for layer, unit in zip(self._layers, self.units, strict=True)
            for name, value in unit.state_dict().items()
        }


@torch.no_grad()
def _draw(convolution: nn.Conv2d, generator: torch.Generator) -> None:
    """Draw the weights as torch initialises a convolution, from a generator: U(±1/√fan in)."""
    bound = (convolution.in_channels * 9) ** -0.5
    for parameter in convolution.parameters():
        parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
