"""A learning rate for each filter or tensor by its relative gradient norm: Auto-RGN (Lee et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from engine.ranking.gradients import Gradients, mean_relative_norms, rate_multipliers

N_BATCHES = 5
"""Of an epoch's first batches the gradients are measured, before its first step, as the authors do."""


class RelativeRates:
    """Makes each step of a tensor, or of each of its rows, shorter by its relative gradient norm over the largest one.

    The norms are measured anew before each epoch. The optimiser goes on from epoch to epoch, where the authors make a
    new one; the multiplier acts on its step, whatever it makes of a gradient.

    Args:
        rows: {group: names of parameters whose rows are filters, each with one rate}.
        tensors: names of parameters that have a rate each.
    """

    def __init__(self, rows: Mapping[str, Sequence[str]], tensors: Sequence[str]) -> None:
        self._rows = dict(rows)
        self._tensors = {name: (name,) for name in tensors}
        self._multipliers: dict[str, Tensor] = {}

    def measure(self, module: nn.Module, losses: Iterator[Callable[[], Tensor]]) -> None:
        """Measure the gradients of some batches' losses; the steps from now on are scaled by them.

        Args:
            module: what is trained.
            losses: computes the mean loss of each batch.
        """
        parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        values = {name: parameter.detach() for name, parameter in parameters.items()}
        found = [_gradients(loss(), parameters) for loss in losses]
        norms = {
            **mean_relative_norms(values, found, self._rows, by_row=True),
            **mean_relative_norms(values, found, self._tensors, by_row=False),
        }
        for group, ratios in rate_multipliers(norms).items():
            for name in self._rows.get(group, (group,)):
                own = ratios.to(values[name].dtype)
                self._multipliers[name] = own.reshape(-1, *[1] * (values[name].ndim - 1)) if own.ndim else own

    @contextmanager
    def scaled(self, module: nn.Module) -> Iterator[None]:
        """Scale what happens to the parameters meanwhile: a step of the optimiser."""
        parameters = dict(module.named_parameters())
        before = {name: parameters[name].detach().clone() for name in self._multipliers}
        yield
        with torch.no_grad():
            for name, multiplier in self._multipliers.items():
                parameters[name].copy_(torch.lerp(before[name], parameters[name], multiplier.expand_as(before[name])))

    def described(self) -> dict[str, list[float]]:
        """Return the multipliers of the last epoch, by parameter: one number, or one for each row."""
        return {name: multiplier.flatten().tolist() for name, multiplier in self._multipliers.items()}


def _gradients(loss: Tensor, parameters: Mapping[str, Tensor]) -> Gradients:
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))
