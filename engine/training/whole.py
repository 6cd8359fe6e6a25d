"""Fine-tuning of a whole network: what selected filters are compared with."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WholeNetwork(nn.Module):
    """A network whose parameters are all tuned.

    Args:
        network: the trained network; it is changed.
        batch_norm: "frozen" (γ, β and the running statistics stay as they are), "affine" (γ and β are tuned) or "full"
            (the statistics follow the images too, and a batch is normalised by its own).
    """

    def __init__(self, network: nn.Module, *, batch_norm: Literal["frozen", "affine", "full"] = "frozen") -> None:
        super().__init__()
        self.network = network.requires_grad_(True)
        self._batch_norm = batch_norm
        for module in batch_norms(network):
            module.requires_grad_(batch_norm != "frozen")

    @property
    def tuned_names(self) -> list[str]:
        """Return the names, in the network, of the parameters that are tuned."""
        return [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of float images (n, c, h, w)."""
        return self.network(images)

    def train(self, mode: bool = True) -> WholeNetwork:
        """Set the mode; statistics that are not tuned stand still in both."""
        super().train(mode)
        if self._batch_norm != "full":
            for module in batch_norms(self.network):
                module.eval()
        return self

    def changes(self) -> dict[str, Tensor]:
        """Return all values of the network, buffers included, as ``SelectiveFilters.changes`` has them."""
        return {f"{name}:values": value.detach() for name, value in self.network.state_dict().items()}


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Return the batch normalisations of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
