"""Batch normalisation adapted to images without labels: their statistics, and TENT (Wang et al. 2021).

Of the network nothing but its batch normalisations changes: running statistics become those of the images (Schneider et
al. 2020), and TENT tunes γ and β so that the answers' entropy falls, each batch normalised by its own statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.data.streamed import StreamedImages
from engine.metrics.classification import as_input
from engine.precision import network_pass


def adapted_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch normalisations that keep running statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


class AdaptedNetwork(nn.Module):
    """A network of which only the batch normalisations follow unlabelled images.

    Args:
        network: the trained network; it is changed.
        affine: whether γ and β are parameters; else there are none.
    """

    def __init__(self, network: nn.Module, *, affine: bool) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self._norms = adapted_norms(network)
        for module in self._norms.values():
            module.requires_grad_(affine and module.affine)

    @property
    def tuned_names(self) -> list[str]:
        """Return the names, in the network, of the parameters that are tuned."""
        return [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of float images (n, c, h, w)."""
        return self.network(images)

    def train(self, mode: bool = True) -> AdaptedNetwork:
        """Set the mode of the batch normalisations; all else stays in evaluation mode."""
        self.training = mode
        for module in self._norms.values():
            module.train(mode)
        return self

    @torch.no_grad()
    def take_statistics(self, images: Tensor | StreamedImages, batch_size: int) -> None:
        """Give the running statistics the mean and the unbiased variance of all images' maps, each batch normalised by
        its own.

        Args:
            images: uint8 (n, c, h, w).
            batch_size: images that are normalised together.
        """
        self.train()
        with _summing(list(self._norms.values())) as sums:
            for batch in _joined(images, batch_size):
                with network_pass(batch.device):
                    self.network(as_input(batch))
        for module, found in zip(self._norms.values(), sums, strict=True):
            found.give(module)
        self.eval()

    def changes(self) -> dict[str, Tensor]:
        """Return γ, β and the statistics of the batch normalisations, as ``SelectiveFilters.changes`` has them."""
        state = self.network.state_dict()
        kept = ("weight", "bias", "running_mean", "running_var")
        own = {f"{name}.{key}" for name in self._norms for key in kept}
        return {f"{name}:values": state[name].detach() for name in state if name in own}


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean entropy of the answers, in nats; the labels are not looked at."""
    logs = F.log_softmax(logits, dim=1)
    return -(logs.exp() * logs).sum(dim=1).mean()


class _Sums:
    """The sums of a layer's input over images and places, by channel."""

    def __init__(self) -> None:
        self.n = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        by_channel = values.detach().transpose(0, 1).flatten(1).double()
        self.n += by_channel.shape[1]
        self.total = self.total + by_channel.sum(1)
        self.squares = self.squares + by_channel.square().sum(1)

    def give(self, module: _BatchNorm) -> None:
        if not self.n or module.running_mean is None or module.running_var is None:
            return  # the forward pass does not get there
        mean = self.total / self.n
        variance = (self.squares - self.n * mean * mean) / max(1, self.n - 1)
        module.running_mean.copy_(torch.as_tensor(mean))
        module.running_var.copy_(torch.as_tensor(variance).clamp_min(0))


@contextmanager
def _summing(norms: Sequence[_BatchNorm]) -> Iterator[list[_Sums]]:
    """Have layers' inputs summed meanwhile."""
    sums = [_Sums() for _ in norms]
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, own=own: own.add(inputs[0]))
        for module, own in zip(norms, sums, strict=True)
    ]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


def _joined(images: Tensor | StreamedImages, size: int) -> Iterator[Tensor]:
    """Yield batches; a last one of a single image, which has no variance, joins the one before it."""
    n, start = len(images), 0
    while start < n:
        end = n if n - start <= size + 1 else start + size
        yield images[start:end]
        start = end
