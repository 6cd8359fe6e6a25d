"""Weights that come from elsewhere, put into a model: each must fit, and those that do not are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from engine.errors import InputError

N_NAMED_KEYS = 6
"""How many of the weights that do not fit an error names."""
OPTIONAL = ("normalise.mean", "normalise.std")
"""What a file may go without: the images' statistics. So it may without a push–pull layer's learned strength."""


def check_fit(model: nn.Module, weights: Mapping[str, Any], *, source: str) -> None:
    """Check that weights are a model's, by names and shapes.

    Args:
        model: which it may be on the meta device.
        weights: {name: tensor, or what has its ``shape``}.
        source: where they are from, for the error.

    Raises:
        InputError: weights that are missing, or not expected, or of another shape.
    """
    own = model.state_dict()
    faults = [f"{name} is missing" for name in own if name not in weights and not _is_optional(name)]
    faults += [f"{name} is not expected" for name in weights if name not in own]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and tuple(weights[name].shape) != tuple(value.shape)
    ]
    if faults:
        more = f", and {len(faults) - N_NAMED_KEYS} more" if len(faults) > N_NAMED_KEYS else ""
        raise InputError(f"the weights in {source} do not fit: {'; '.join(faults[:N_NAMED_KEYS])}{more}")


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> nn.Module:
    """Put weights into a model and return it; raises ``InputError`` where they do not fit, as ``check_fit``."""
    check_fit(model, weights, source=source)
    model.load_state_dict(dict(weights), strict=False)  # all but what may be missing: compared above
    return model


def _is_optional(name: str) -> bool:
    return name in OPTIONAL or name.endswith("raw_alpha")
