"""Rankings by gradients: how much a network's loss on noisy images asks of its filters, layers or blocks to change.

The relative gradient norm is Auto-RGN's (Lee et al. 2023, "Surgical fine-tuning"): the gradient's norm over that of the
weights. Fisher information is the mean squared gradient of the log-likelihood. Both read the images' labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Split
from engine.layers.strided import RightGradients
from engine.metrics.classification import as_input
from engine.precision import in_full, network_pass

GRADIENT, FISHER = "gradient", "fisher"

Groups = Mapping[str, Sequence[str]]
"""{group: names of the parameters that are measured as one}."""
Gradients = dict[str, Tensor]
"""{parameter: gradient of its shape}."""


def relative_gradient_norms(values: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean over batches of the gradient's Euclidean norm over that of the values, each float64 ().

    Args:
        values: {tensor: its values}.
        gradients: {tensor: (batches, …)} of the same.

    Returns:
        {tensor: ratio ≥ 0}; 0 of one whose values are all zero, which has no ratio.
    """
    groups = {name: (name,) for name in values}
    n = len(next(iter(gradients.values())))
    steps = ({name: of_batches[place] for name, of_batches in gradients.items()} for place in range(n))
    return mean_relative_norms(values, steps, groups, by_row=False)


def rate_multipliers(norms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return Auto-RGN's multipliers of the learning rate: each ratio over the largest of all; 0 where all are 0."""
    largest = torch.stack([ratios.max() for ratios in norms.values()]).max()
    return {
        name: torch.where(largest == 0, torch.zeros_like(ratios), ratios / largest) for name, ratios in norms.items()
    }


def mean_relative_norms(
    values: Mapping[str, Tensor], gradients: Iterable[Gradients], groups: Groups, *, by_row: bool
) -> dict[str, Tensor]:
    """Return ``relative_gradient_norms`` of groups of tensors, whose values count as one vector.

    Args:
        values: {parameter: its values}.
        gradients: of each batch.
        groups: which parameters belong together.
        by_row: whether each row of a group, as a filter is, has a ratio of its own: (rows,) instead of ().
    """
    sizes = {group: _squares(values, names, by_row).sqrt() for group, names in groups.items()}
    totals = {group: torch.zeros_like(size) for group, size in sizes.items()}
    n = 0
    for found in gradients:
        n += 1
        for group, names in groups.items():
            ratios = _squares(found, names, by_row).sqrt() / sizes[group]
            totals[group] += torch.where(sizes[group] == 0, torch.zeros_like(ratios), ratios)  # NaN stays NaN
    return {group: total / n for group, total in totals.items()}


def measure_parts(
    network: nn.Module, split: Split, groups: Groups, *, by: str, by_row: bool, batch_size: int = 64
) -> dict[str, Tensor]:
    """Return how much the loss on labelled images asks of each group of parameters to change, float64, on the CPU.

    Args:
        network: in evaluation mode; its parameters' values stay as they are.
        split: the images, with their labels.
        groups: {layer, or part of the network: names of its parameters}.
        by: "gradient", the relative norm of the gradient, mean over the batches; or "fisher", the squared gradient of
            an image's log-likelihood, mean over the images and over the group's values.
        by_row: whether each row of a group, as a filter is, is measured: (rows,), else ().
        batch_size: images whose mean loss has one gradient; of Fisher information each image has its own.
    """
    wanted = list(dict.fromkeys(name for names in groups.values() for name in names))
    parameters = {name: network.get_parameter(name) for name in wanted}
    network.eval().requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    size = batch_size if by == GRADIENT else 1
    gradients = (batch_gradients(network, batch, parameters) for batch in _batches(split, size))
    if by == GRADIENT:
        values = {name: parameter.detach() for name, parameter in parameters.items()}
        found = mean_relative_norms(values, gradients, groups, by_row=by_row)
    else:
        found = _mean_squares(gradients, groups, by_row=by_row)
    network.requires_grad_(False)
    return {group: measured.cpu() for group, measured in found.items()}


def filter_groups(network: nn.Module, layers: Iterable[str]) -> dict[str, list[str]]:
    """Return {layer: the parameters whose rows are its filters' own}: kernel, bias, inhibition strengths."""
    found = {}
    for layer in layers:
        module = network.get_submodule(layer)
        n_filters = len(module.weight)  # type: ignore[arg-type]
        found[layer] = [
            f"{layer}.{name}"
            for name, parameter in module.named_parameters()
            if parameter.ndim and len(parameter) == n_filters
        ]
    return found


def _mean_squares(gradients: Iterable[Gradients], groups: Groups, *, by_row: bool) -> dict[str, Tensor]:
    """Return the mean over images and values of the squared gradients."""
    totals: dict[str, Tensor] = {}
    n = 0
    for found in gradients:
        n += 1
        for group, names in groups.items():
            n_values = sum(found[name].numel() for name in names)
            squares = _squares(found, names, by_row)
            share = squares / (n_values / squares.numel())
            totals[group] = totals[group] + share if group in totals else share
    return {group: total / n for group, total in totals.items()}


def _squares(tensors: Mapping[str, Tensor], names: Sequence[str], by_row: bool) -> Tensor:
    """Return the sum of some tensors' squares, float64, of each row or of all."""
    squares = [tensors[name].double().square() for name in names]
    return torch.stack([each.reshape(len(each), -1).sum(1) if by_row else each.sum() for each in squares]).sum(0)


def _batches(split: Split, size: int) -> Iterable[tuple[Tensor, Tensor]]:
    return zip(split.images.split(size), split.labels.split(size), strict=True)


def batch_gradients(network: nn.Module, batch: tuple[Tensor, Tensor], parameters: Mapping[str, Tensor]) -> Gradients:
    """Return the gradients of a batch's mean loss, whichever convolutions a network has.

    Args:
        network: float images in [0, 1] in, logits out.
        batch: uint8 images (n, c, h, w), and their labels, int64 (n,).
        parameters: those of the network whose gradients are wanted.
    """
    images, labels = batch
    with RightGradients(), network_pass(images.device):
        logits = network(as_input(images))
    loss = F.cross_entropy(in_full(logits), labels)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))
