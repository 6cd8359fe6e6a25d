"""What a fine-tuning changed of a network, put into another copy of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engine.training.correction import CHILD, add_correction

_FILTERS = f".{CHILD}.filters:values"


@torch.no_grad()
def apply_changes(network: nn.Module, changes: Mapping[str, Tensor]) -> nn.Module:
    """Write the values of a tuned module's ``changes`` into a network, in place; return it.

    Args:
        network: of the wiring and the weights that were tuned; correction units are added to it.
        changes: by name in the network, "name:values", and where these are some rows only, "name:rows".
    """
    for path, filters in changes.items():
        if path.endswith(_FILTERS):
            add_correction(network, path.removesuffix(_FILTERS), filters)
    targets = dict(itertools.chain(network.named_parameters(), network.named_buffers()))
    for path, values in changes.items():
        name, _, kind = path.rpartition(":")
        if kind != "values":
            continue
        target = targets[name]
        rows = changes.get(f"{name}:rows")
        if rows is None:
            target.copy_(values.to(target.device))
        else:
            target[rows.to(target.device)] = values.to(target.device)
    return network
