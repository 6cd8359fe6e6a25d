"""Fine-tuning of some filters of some layers; everything else stays as it is, to the bit.

The selected filters' kernels, biases and own inhibition strengths (and γ and β, if asked for) are copied out as small
parameters of their own, which are all that the optimiser knows: momentum, weight decay and the like cannot touch
another weight. The forward pass puts them back into the layer's weights. Nothing below the first tuned layer is
differentiated, and BatchNorm's running statistics stand still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor, nn
from torch.func import functional_call

from engine.errors import InputError
from engine.layers.partial import limit_weight_gradient
from engine.ranking import filter_units
from engine.training.relative_rates import RelativeRates


class SelectiveFilters(nn.Module):
    """A network of which only some filters are parameters.

    Args:
        network: the trained network; its values are not changed, but its parameters no longer require gradients. It
            is not a submodule, so that this module's parameters and state are the selected ones alone.
        selected: {layer name: filter indices (int64)}; the layers are convolutions of the network.
        batch_norm: "frozen", or "affine": the selected filters' γ and β are parameters too.
        train_classifier: whether the last linear layer is a parameter too.
        whole: names of the network's parameters that are tuned whole, beside the selected filters.
        example: float images that the network takes, to find which normalisation follows which convolution.

    Raises:
        InputError: nothing is selected, or an index is outside its layer or given twice.
    """

    def __init__(
        self,
        network: nn.Module,
        selected: Mapping[str, Tensor],
        *,
        batch_norm: Literal["frozen", "affine"] = "frozen",
        train_classifier: bool = False,
        whole: Iterable[str] = (),
        example: Tensor,
    ) -> None:
        super().__init__()
        self._network = (network.eval().requires_grad_(False),)  # in a tuple, so that it is no submodule
        self._runs = self._network
        self._rows: dict[str, Tensor] = {}
        self._values = nn.ParameterDict()
        units = filter_units(network, example) if batch_norm == "affine" else {}
        for layer, indices in selected.items():
            self._select_filters(layer, indices, network)
            norm = units[layer].normalisation if layer in units else None
            if norm is not None:
                for name in ("weight", "bias"):
                    self._select(f"{norm}.{name}", indices, network)
        for name in whole:
            self._select(name, None, network)
        if train_classifier:
            for name in ("weight", "bias"):
                self._select(f"{classifier_name(network)}.{name}", None, network)
        if not len(self._values):
            raise InputError("no filter is selected for fine-tuning")

    def _select_filters(self, layer: str, indices: Tensor, network: nn.Module) -> None:
        """Select what a filter owns: its kernel, its bias, and its inhibition strength if that is its own."""
        module = network.get_submodule(layer)
        n_filters = len(module.weight)  # type: ignore[arg-type]
        if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < n_filters):
            raise InputError(f"layer {layer} has {n_filters} filters, got the indices {indices.tolist()}")
        if len(indices.unique()) < len(indices):
            raise InputError(f"each filter of layer {layer} can be selected once, got the indices {indices.tolist()}")
        if len(indices):
            limit_weight_gradient(module, indices.sort().values)
        for name, parameter in module.named_parameters():
            if parameter.ndim and len(parameter) == n_filters:
                self._select(f"{layer}.{name}", indices, network)

    def _select(self, name: str, rows: Tensor | None, network: nn.Module) -> None:
        parameters = dict(network.named_parameters())
        if name not in parameters or (rows is not None and not len(rows)):
            return
        whole = parameters[name].detach()
        rows = None if rows is None else rows.to(whole.device).sort().values
        values = whole.clone() if rows is None else whole[rows].clone()
        self._values[_mangled(name)] = nn.Parameter(values)
        if rows is not None:
            self._rows[name] = rows

    @property
    def network(self) -> nn.Module:
        """Return the network, whose own values stay as they are."""
        return self._network[0]

    @property
    def tuned_names(self) -> list[str]:
        """Return the names, in the network, of the parameters that are tuned in part or whole."""
        return [_plain(name) for name in self._values]

    def own_rates(self) -> RelativeRates:
        """Return what gives each selected filter, and each tensor that is tuned whole, a learning rate of its own."""
        rows: dict[str, list[str]] = {}
        for name in self._rows:
            rows.setdefault(name.rpartition(".")[0], []).append(_mangled(name))
        tensors = [mangled for mangled in self._values if _plain(mangled) not in self._rows]
        return RelativeRates(
            {f"filters of {layer}": [f"_values.{name}" for name in names] for layer, names in rows.items()},
            [f"_values.{name}" for name in tensors],
        )

    def start_from(self, rest: nn.Module) -> None:
        """Take from now on what the rest of a cut network takes (see ``cut_network``) instead of images."""
        self._runs = (rest,)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of float images (n, c, h, w), or of features after ``start_from``."""
        return functional_call(self._runs[0], self._composed(), (images,))

    def train(self, mode: bool = True) -> SelectiveFilters:
        """Leave the network in evaluation mode whatever the mode: running statistics stand still."""
        self.training = mode
        return self

    def changes(self) -> dict[str, Tensor]:
        """Return the selected values, and for each parameter that is changed in part its rows (int64), by name."""
        tensors = {f"{_plain(name)}:values": values.detach() for name, values in self._values.items()}
        return tensors | {f"{name}:rows": rows for name, rows in self._rows.items()}

    def _composed(self) -> dict[str, Tensor]:
        """Return the changed parameters whole: the selected values over the network's own."""
        whole = dict(self.network.named_parameters())
        composed = {}
        for mangled, values in self._values.items():
            name = _plain(mangled)
            rows = self._rows.get(name)
            composed[name] = values if rows is None else whole[name].detach().index_copy(0, rows, values)
        return composed


def classifier_name(network: nn.Module) -> str:
    """Return the name of a network's classifier: its last layer that is linear, or a 1×1 convolution in its place.

    Raises:
        InputError: there is none.
    """
    found = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
    ]
    linear = [name for name in found if isinstance(network.get_submodule(name), nn.Linear)]
    if not found:
        raise InputError("the network has no linear layer that could be trained as its classifier")
    return (linear or found)[-1]


def head_of(network: nn.Module) -> str | None:
    """Return the name of a network's classifier, or None where it has none."""
    try:
        return classifier_name(network)
    except InputError:
        return None


def _mangled(name: str) -> str:
    return name.replace(".", "|")


def _plain(name: str) -> str:
    return name.replace("|", ".")
