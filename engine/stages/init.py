"""The stage in the place of pretraining: a network with the weights of a file."""

from __future__ import annotations

from engine.models.weights import load_weights
from engine.stages.context import StageContext
from engine.stages.network import build_network, set_input_statistics
from engine.stages.registration import register_stage


@register_stage("init", version=1)
def init(context: StageContext) -> None:
    """Put weights of the store into a network, wired as the trial wants it; nothing is trained.

    What the weights go without is the training images' (the statistics of the input), or a layer's own beginning (a
    learned inhibition strength).

    Files: ``network.json`` and ``model.safetensors``, as a pretraining has them.
    """
    settings = context.spec.settings
    network = build_network(settings["network"], seed=0)
    set_input_statistics(network, context.data)
    weights = context.inputs["weights"]
    load_weights(network, weights.tensors("model"), source=f"the artifact {weights.manifest['key']}")
    context.attempt.write_tensors("model", network.state_dict())
    context.attempt.write_json("network", dict(settings["network"]))
