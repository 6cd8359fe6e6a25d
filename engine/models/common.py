"""What the model families share: a chain of named layers, checks, scaling and initialisation."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from engine.errors import InputError, shown

MOST_LAYERS = 2000


class Chain(nn.Sequential):
    """Layers applied one after the other, each with a name.

    Args:
        layers: the layers by name, in the order of their application.
        first_block: names of the layers that "first_block" means for push–pull layers; empty if there is no such block.
    """

    def __init__(self, layers: dict[str, nn.Module], first_block: tuple[str, ...] = ()) -> None:
        super().__init__(OrderedDict(layers))
        self.first_block = first_block


def check_image_size(model: str, image_size: int, minimum: int) -> None:
    """Raise ``InputError`` if images of this side (pixels) would vanish inside the network."""
    if image_size < minimum:
        raise InputError(f"{model} needs images of at least {minimum}×{minimum} pixels, got {image_size}×{image_size}")


def check_depth(model: str, depth: int) -> None:
    """Raise ``InputError`` if a network has more layers than anybody would wait for."""
    if depth > MOST_LAYERS:
        raise InputError(f"the depth of a {model} must be at most {MOST_LAYERS:,}, got {shown(depth)}")


def scale(count: int, width: int | None, default_width: int) -> int:
    """Return a number of channels scaled by ``width / default_width``, rounded, at least 1."""
    return count if width is None else max(1, round(count * width / default_width))


def initialise_he(model: nn.Module) -> None:
    """Draw the convolutions' weights anew from He's normal distribution (fan out), as the authors of ResNet do.

    Weights on the meta device have no values: drawing them there would only take most of the time of a plan.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
