"""The stage in the place of pretraining: a network with the weights of a file."""

from __future__ import annotations

from engine.models.weights import load_weights
from engine.stages.context import StageContext
from engine.stages.network import build_network, set_input_statistics
from engine.stages.planning import Planning
from engine.stages.registration import register_stage
from engine.training.correction import add_given_corrections
from engine.training.selective import head_of


def _is_wanted(planning: Planning) -> bool:
    return planning.config.model.weights is not None and not planning.is_retrained


def _given(planning: Planning) -> dict[str, str]:
    weights = planning.config.model.weights
    assert weights is not None
    return {"weights": weights}


@register_stage(
    "init",
    version=1,
    reads=(),
    follows=("pretrain",),  # or rather in its place
    precedes=("rank", "finetune", "evaluate"),
    wanted=_is_wanted,
    depends_on=lambda planning: {"network": planning.network_settings},
    given=_given,
    gives_network=True,
    seeded=False,
)
def init(context: StageContext) -> None:
    """Put weights of the store into a network, wired as the trial wants it; nothing is trained.

    What the weights go without is the training images' (the statistics of the input), or a layer's own beginning (a
    learned inhibition strength). A classifier of another number of classes stays as it was drawn.

    Files: ``network.json`` and ``model.safetensors``, as a pretraining has them.
    """
    settings = context.spec.settings
    network = build_network(settings["network"], seed=0)
    set_input_statistics(network, context.data)
    weights = context.inputs["weights"]
    tensors = weights.tensors("model")
    add_given_corrections(network, tensors)
    source = f"the artifact {weights.manifest['key']}"
    load_weights(network, tensors, source=source, head=head_of(network))
    context.attempt.write_tensors("model", network.state_dict())
    context.attempt.write_json("network", dict(settings["network"]))
