"""The network that a test runs images through: as it was trained, or with its batch normalisations folded."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from engine.layers.folding import fold_batch_norm
from engine.metrics.classification import as_input
from engine.precision import computing_in
from engine.stages.context import StageContext

MOST_APART = 1e-4
"""How far answers in 32 bits may be apart, as a share of the largest one."""
_N_COMPARED = 32
"""Images whose answers are compared before a folded network is relied on."""


def tested_network(context: StageContext) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network that a stage tests, and what its record says of that, JSON: nothing, or {"passes": …}.

    One that is to be folded is compared with what it was made of first. What cannot be folded, or answers otherwise
    then, is tested as it is: {"folded": False, "reason": why}; else {"folded": True, "layers": {convolution:
    normalisation}}.
    """
    network = context.network()
    if not context.spec.numerics.get("folded"):
        return network, {}
    try:
        folded, layers = fold_batch_norm(network)
        if not layers:
            return network, _unfolded("no batch normalisation follows a convolution alone")
        check_alike(network, folded, context.data.validation.images[:_N_COMPARED])
    except Exception as error:  # whatever cannot be folded can be tested as it always was
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        warnings.warn(f"a network is tested without folding, since it cannot be folded: {reason}", stacklevel=2)
        return network, _unfolded(reason)
    return folded, {"passes": {"folded": True, "layers": layers}}


def _unfolded(reason: str) -> dict[str, Any]:
    return {"passes": {"folded": False, "reason": reason}}


@torch.no_grad()
def check_alike(network: nn.Module, folded: nn.Module, images: Tensor) -> None:
    """Check that two networks answer alike, in 32 bits whatever the precision.

    Args:
        network: in evaluation mode, as is ``folded``.
        folded: the other one.
        images: uint8 (n, c, h, w).

    Raises:
        ValueError: they do not.
    """
    with computing_in("fp32", images.device.type):
        expected, found = (one(as_input(images)) for one in (network, folded))
    apart = ((found - expected).abs().max() / expected.abs().max()).item()
    if not apart <= MOST_APART:  # not where it is no number, either
        raise ValueError(f"its answers would be {apart:.1e} of the largest one off")
