"""The fine-tuning that reads no label of a noisy image: batch normalisation adapted to them."""

from __future__ import annotations

from engine.stages.budget import NoisyBudget
from engine.stages.context import StageContext
from engine.stages.epochs import result_of_epoch, train
from engine.stages.noisy import noisy_and_clean
from engine.stages.probe import make_judge, watched_splits
from engine.training.adapted import AdaptedNetwork, entropy
from engine.training.loop import Judge


def adapt(context: StageContext) -> None:
    """Adapt a network's batch normalisations to all noisy training images.

    No epoch is chosen, since that takes labels: the last one is kept. The clean validation images are measured after
    each, and decide nothing, as little as the probes do.

    Files: as a fine-tuning's; ``filters.json`` is empty.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    noisy, _, _ = noisy_and_clean(context.data, settings["distortion"], seed=seed)
    watched = watched_splits(context.data, context.spec.watch, distortion=settings["distortion"], seed=seed)
    judge = make_judge(context.data.validation, watched)
    module = AdaptedNetwork(context.network(), affine=settings["method"] == "tent").to(context.device)
    batch_size = settings["training"]["batch_size"]
    module.take_statistics(noisy.images, batch_size)
    if settings["method"] == "tent":
        train(context, module, noisy, settings["training"], judge, loss=entropy)
        module.take_statistics(noisy.images, batch_size)
    else:
        _tell(context, module, judge)
    budget = NoisyBudget.without_labels(len(noisy))
    context.attempt.write_tensors("changes", module.changes())
    context.attempt.write_json("filters", {})
    context.attempt.write_json("result", result_of_epoch(len(context.history), module, context, budget))


def _tell(context: StageContext, module: AdaptedNetwork, judge: Judge) -> None:
    """Tell what the network is with the new statistics, as an epoch without steps."""
    context.end_epoch({"epoch": 1, **judge(module)})
