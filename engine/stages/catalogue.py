"""The engine's own stages: importing this module registers them."""

from engine.stages import evaluate, finetune, init, pretrain, rank  # noqa: F401
from engine.stages.registration import STAGES

__all__ = ["STAGES"]
