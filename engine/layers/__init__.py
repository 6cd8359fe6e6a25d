"""The layers that the project adds to those of torch."""

from engine.layers.insertion import insert_push_pull
from engine.layers.normalise import Normalise
from engine.layers.pull_kernel import pull_size
from engine.layers.push_pull import ACTIVATIONS, PushPull2d
from engine.layers.push_pull_conv import PushPullConv2d

PUSH_PULL = (PushPull2d, PushPullConv2d)
"""The layers with push–pull inhibition, of both papers."""

__all__ = [
    "ACTIVATIONS",
    "PUSH_PULL",
    "Normalise",
    "PushPull2d",
    "PushPullConv2d",
    "insert_push_pull",
    "pull_size",
]
