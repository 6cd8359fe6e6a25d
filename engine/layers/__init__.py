"""The layers that the project adds to those of torch."""

from engine.layers.insertion import insert_push_pull
from engine.layers.normalise import Normalise
from engine.layers.pull_kernel import pull_size
from engine.layers.push_pull import ACTIVATIONS, PushPull2d

__all__ = ["ACTIVATIONS", "Normalise", "PushPull2d", "insert_push_pull", "pull_size"]
