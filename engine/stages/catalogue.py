"""The engine's own stages: importing this module registers them."""

from engine.stages import evaluate, finetune, init, pretrain, rank  # noqa: F401
from engine.stages.registration import STAGES, stages_in_order

__all__ = ["STAGES", "network_stages", "stages_in_order"]


def network_stages() -> list[str]:
    """Return the names of the stages that make a network, or change it, in the order in which they do."""
    return [stage.name for stage in stages_in_order() if stage.gives_network]
