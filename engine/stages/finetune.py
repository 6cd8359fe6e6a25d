"""The stage that fine-tunes selected filters on noisy images."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.ranking import select_filters
from engine.seeds import derive_seed, generator
from engine.stages.context import StageContext
from engine.stages.network import load_network
from engine.stages.noisy import distorted, noisy_and_clean
from engine.stages.pretrain import result_of, train
from engine.stages.probe import make_judge, make_probe
from engine.stages.rank import ranking_from_json
from engine.stages.spec import register_stage
from engine.training import SelectiveFilters


@register_stage("finetune", version=2)
def finetune(context: StageContext) -> None:
    """Fine-tune the selected filters on the trial's noisy images; keep the best epoch on noisy validation images.

    Files: ``changes.safetensors`` (the changed filters only), ``filters.json`` ({layer: indices, best first}) and
    ``result.json``.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    network = load_network(context.inputs["pretrain"], None, context.device)
    noisy, _, _ = noisy_and_clean(context.data, settings["distortion"], seed=seed)
    selected = _selected(context)
    module = SelectiveFilters(
        network,
        selected,
        batch_norm=settings["batch_norm"],
        train_classifier=settings["train_classifier"],
        example=noisy.images[:1].float() / 255,
    ).to(context.device)
    validation = distorted(context.data.validation, settings["distortion"], seed=seed)
    judge = make_judge(validation, make_probe(context.data, settings["probe"]))
    trainer = train(context, module, noisy, settings["training"], judge)
    trainer.load_best()
    context.attempt.write_tensors("changes", module.changes())
    context.attempt.write_json("filters", {layer: indices.tolist() for layer, indices in selected.items()})
    context.attempt.write_json("result", result_of(trainer, context))


def _selected(context: StageContext) -> dict[str, Tensor]:
    """Return the filters to tune of each layer."""
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    counts: dict[str, int] = settings["layers"]
    if settings["which"] == "all":
        return {layer: torch.arange(count) for layer, count in counts.items()}
    if settings["which"] == "random":
        return {
            layer: torch.randperm(settings["n_filters"][layer], generator=generator(seed, "select filters", layer))[
                :count
            ]
            for layer, count in counts.items()
        }
    rankings = context.inputs["rank"].json("ranking")
    return {
        layer: select_filters(
            ranking_from_json(rankings[layer]), count=count, which=settings["which"], seed=derive_seed(seed, layer)
        )
        for layer, count in counts.items()
    }
