"""The stage that trains a network on clean images."""

from __future__ import annotations

from typing import Any

from engine.digest import canonical_json
from engine.stages.context import StageContext
from engine.stages.epochs import Checkpoint, result_of, train
from engine.stages.families import longest_prefix
from engine.stages.network import build_network, set_input_statistics, to_device
from engine.stages.noisy import noisy_sets
from engine.stages.planning import Planning, relevant_perturbation, relevant_training
from engine.stages.probe import make_judge, watched_splits
from engine.stages.registration import register_stage
from engine.store.artifact import CorruptArtifactError
from engine.training.perturbation import make_perturbation
from engine.training.state import with_prefix


def _is_wanted(planning: Planning) -> bool:
    return planning.is_retrained or planning.config.model.weights is None


def _depends_on(planning: Planning) -> dict[str, Any]:
    """Return how the network is built and trained; of one that is trained on noisy images alone, on which."""
    n_images = planning.n_noisy() if planning.is_retrained else planning.data.n_train
    training = relevant_training(planning.config.pretrain, n_images)
    noisy = planning.noisy() if planning.is_retrained else {}
    perturbation = relevant_perturbation(planning.config.perturbation)
    return {"network": planning.network_settings, "training": training, **perturbation, **noisy}


@register_stage(
    "pretrain",
    version=5,
    reads=(),
    precedes=("rank", "finetune", "evaluate"),
    wanted=_is_wanted,
    depends_on=_depends_on,
    epochs="pretrain.epochs",
    gives_network=True,
)
def pretrain(context: StageContext) -> None:
    """Train a network on the clean training images; keep its best epoch by validation.

    With a "perturbation" among the settings the images are made noisy, or are mixed, anew in every epoch.
    With a "distortion" among the settings it is trained on noisy images instead, and judged by noisy ones, as many and
    such as "select_by" says.

    Files: ``network.json`` (how it is built), ``model.safetensors`` (the best epoch's weights), ``last.safetensors``
    (weights and optimiser after the last epoch, for a longer training to go on from) and ``result.json``.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    network = build_network(settings["network"], seed=seed)
    set_input_statistics(network, context.data)
    to_device(network, context.device)
    images, selecting, budget = context.data.train, context.data.validation, None
    distortion = settings.get("distortion")
    if distortion is not None:
        noisy = noisy_sets(context.data, settings, seed=seed)
        images, selecting, budget = noisy.trained_on, noisy.selecting, noisy.budget
    judge = make_judge(selecting, watched_splits(context.data, context.spec.watch, distortion=distortion, seed=seed))
    trainer = train(
        context,
        network,
        images,
        settings["training"],
        judge,
        begin=begin_from_shorter,
        architecture=_architecture(settings["network"]),
        perturbation=make_perturbation(settings.get("perturbation"), seed=seed),
    )
    tensors, state = trainer.checkpoint()
    context.attempt.write_tensors(
        "last", {name: value for name, value in tensors.items() if not name.startswith("best/")}
    )
    context.attempt.write_json("last", state)
    context.attempt.write_tensors("model", trainer.state.best)
    context.attempt.write_json("network", dict(settings["network"]))
    context.attempt.write_json("result", result_of(trainer, context, budget))


def _architecture(network: dict[str, Any]) -> str | None:
    """Return what tells networks apart whose steps are other ones; None of a user's, which do as they like."""
    return None if network.get("source") else canonical_json(network)


def begin_from_shorter(context: StageContext) -> Checkpoint | None:
    """Return the end of the longest stored training that this one would repeat, with its history; None without one."""
    artifact = longest_prefix(context.store, context.spec)
    if artifact is None:
        return None
    try:
        tensors = artifact.tensors("last") | with_prefix("best", artifact.tensors("model"))
        state = artifact.json("last")
    except CorruptArtifactError:
        context.store.quarantine(artifact.manifest["key"])
        return None
    context.take_over(artifact.history)
    return tensors, state
