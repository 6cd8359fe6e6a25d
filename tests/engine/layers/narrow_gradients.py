"""Gradients of narrow networks beside those in float64: lines of JSON, a case and a layer's largest relative error.

A module of its own, for a process of its own: where a gradient overruns memory, its process dies. ReLUs are made
smooth, because one that flips by rounding has another gradient altogether.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Split
from engine.layers import PushPull2d
from engine.layers.partial import limit_weight_gradient
from engine.models import build_model, register_model
from engine.ranking.gradients import batch_gradients
from engine.settings import TrainingSettings
from engine.training import Trainer

N_IMAGES = 20
Gradients = dict[str, Tensor]


class OwnBlock(nn.Module):
    """A residual block as a user may write it: its shortcut is a layer, or a kernel of its own."""

    def __init__(self, n_in: int, stride: int | tuple[int, int], *, shortcut: str) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(n_in, 2 * n_in, 3, stride, padding=1)
        self.stride = stride
        if shortcut == "layer":
            self.shortcut = nn.Conv2d(n_in, 2 * n_in, 1, stride, bias=False)
        else:
            self.kernel = nn.Parameter(torch.rand(2 * n_in, n_in, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        around = self.shortcut(maps) if hasattr(self, "shortcut") else F.conv2d(maps, self.kernel, stride=self.stride)
        return F.softplus(self.convolution(maps) + around)


def own_network(n_in: int, *, stride: int | tuple[int, int] = 2, shortcut: str = "layer") -> nn.Module:
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, n_in, 3, padding=1), nn.Linear(2 * n_in, 4)
    block = OwnBlock(n_in, stride, shortcut=shortcut)
    return nn.Sequential(first, nn.Softplus(), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


def build_own(*, num_classes: int, in_channels: int, image_size: int, width: int | None) -> nn.Module:
    return own_network(width or 4)


def resnet(width: int) -> nn.Module:
    torch.manual_seed(0)
    network = build_model("resnet-8", num_classes=4, width=width)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
    return network


def pushing(n_in: int) -> nn.Module:
    torch.manual_seed(0)
    layers = (PushPull2d(n_in, 2 * n_in, 1, stride=2, h=1.0, activation="softplus"), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(nn.Conv2d(3, n_in, 3, padding=1), *layers, nn.Flatten(), nn.Linear(2 * n_in, 4))


def partly(n_in: int) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.Conv2d(n_in, 12, 1, stride=2)
    limit_weight_gradient(layer, torch.arange(9))
    return nn.Sequential(nn.Conv2d(3, n_in, 3, padding=1), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def images(side: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (N_IMAGES, 3, side, side), generator=draws).byte(), torch.arange(N_IMAGES) % 4


def gradients(network: nn.Module, side: int, dtype: torch.dtype, layout: torch.memory_format) -> Gradients:
    network = copy.deepcopy(network).to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
    pixels, labels = images(side)
    F.cross_entropy(network((pixels.to(dtype) / 255).contiguous(memory_format=layout)), labels).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def by_hand(network: nn.Module, side: int) -> Gradients:
    return gradients(network, side, torch.float32, torch.channels_last)


def by_training(network: nn.Module, side: int) -> Gradients:
    """Return the gradients of the last of three epochs of one step, which are too small to change a weight."""
    network = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = TrainingSettings(
        epochs=3, batch_size=N_IMAGES, optimizer="sgd", learning_rate=1e-30, schedule="constant"
    )
    split = Split(*images(side), torch.arange(N_IMAGES))
    trainer = Trainer(network, split, settings, seed=0, judge=lambda module: {"validation_error": 0.5})
    while not trainer.finished:
        trainer.train_epoch()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def by_measuring(network: nn.Module, side: int) -> Gradients:
    """Return the gradients by which filters, layers and blocks are ranked."""
    network = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = batch_gradients(network, images(side), dict(network.named_parameters()))
    return {name: gradient.detach() for name, gradient in found.items()}


def largest_error(network: nn.Module, side: int, found: Gradients) -> float:
    exact = gradients(network, side, torch.float64, torch.contiguous_format)
    assert exact.keys() == found.keys()
    errors = [float((found[name].detach() - value).norm() / value.norm()) for name, value in exact.items()]
    return max(error if error == error else float("inf") for error in errors)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, int], Gradients]]] = {
    **{f"resnet-8 of width {width}": (partial(resnet, width), by_hand) for width in (2, 3, 4, 6, 8, 12)},
    "resnet-8, trained": (partial(resnet, 4), by_training),
    "a user's, by name": (partial(build_model, "narrow-own", num_classes=4, width=6), by_hand),
    "a user's, trained": (partial(own_network, 4), by_training),
    "a user's of another stride, trained": (partial(own_network, 4, stride=(2, 1)), by_training),
    "a user's function, trained": (partial(own_network, 4, shortcut="function"), by_training),
    "a user's function, measured": (partial(own_network, 4, shortcut="function"), by_measuring),
    "push-pull": (partial(pushing, 4), by_hand),
    "partly tuned": (partial(partly, 4), by_hand),
}
"""{case: (network, how its gradients are found)}."""


if __name__ == "__main__":
    register_model("narrow-own")(build_own)
    torch.set_num_threads(1)
    for name, (make, find) in CASES.items():
        for side in (16, 64):
            network = make()
            error = largest_error(network, side, find(network, side))
            print(json.dumps([f"{name}, {side} pixels", error]), flush=True)
