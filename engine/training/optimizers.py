"""Optimisers, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.settings import TrainingSettings


def make_optimizer(module: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that require gradients."""
    groups = decay_groups(module, settings.weight_decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.learning_rate)
    momentum = settings.momentum
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=momentum, nesterov=momentum > 0)


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters, those that do not decay in a group of their own: learned inhibition strengths.

    What is learned of a strength is its logarithm, nearly, whose zero is a strength of log 2 and no absence of it.
    """
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    if not weight_decay or not any(is_strength(name) for name, _ in trained):
        return [{"params": [parameter for _, parameter in trained], "weight_decay": weight_decay}]
    groups = [
        {"params": [parameter for name, parameter in trained if not is_strength(name)], "weight_decay": weight_decay},
        {"params": [parameter for name, parameter in trained if is_strength(name)], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def shorten_gradients(optimizer: torch.optim.Optimizer, longest: float | None) -> None:
    """Shorten all gradients of an optimiser's parameters together to a norm, on the device; None leaves them alone."""
    if longest is None:
        return
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    share = (longest / norm).clamp(max=1.0)  # of no gradient at all, infinity, and so 1
    for gradient in gradients:
        gradient.mul_(share)


def is_strength(name: str) -> bool:
    """Return whether a parameter is a push–pull layer's learned strength, by its name."""
    return name.endswith("raw_alpha")
