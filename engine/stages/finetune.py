"""The stage that fine-tunes selected filters, or what they are compared with, on noisy images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from engine.data import Split
from engine.ranking.gradients import GRADIENT
from engine.seeds import generator
from engine.settings import UNLABELLED
from engine.stages.adapt import adapt
from engine.stages.context import StageContext
from engine.stages.epochs import result_of, train
from engine.stages.noisy import noisy_sets
from engine.stages.plan_filters import check_tuning, is_tuned_after, tuning
from engine.stages.probe import make_judge, watched_splits
from engine.stages.registration import NETWORK, register_stage
from engine.stages.selected import selected_filters, selected_parts
from engine.training.correction import CorrectedFilters
from engine.training.frozen import cut_network
from engine.training.relative_rates import RelativeRates
from engine.training.selective import SelectiveFilters
from engine.training.whole import WholeNetwork

Tuned: TypeAlias = SelectiveFilters | CorrectedFilters | WholeNetwork


@register_stage(
    "finetune",
    version=5,
    reads=(NETWORK, "rank"),
    precedes=("evaluate",),
    wanted=is_tuned_after,
    check=check_tuning,
    depends_on=tuning,
    epochs="finetune.training.epochs",
    gives_network=True,
)
def finetune(context: StageContext) -> None:
    """Tune a network, or a part of it, on the trial's noisy images; keep the epoch that is best on those held out.

    With "select_by" = "validation" none is held out, and all noisy validation images choose the epoch.

    What comes before the first tuned parameter is computed once for each image, where that is possible and the images
    are not augmented.

    Files: ``changes.safetensors`` (what was changed only), ``filters.json`` ({layer: indices, best first}; empty where
    no filters were chosen), ``parts.json`` where whole layers or blocks were ({part: names of its parameters}, best
    first; "all" for all of them) and ``result.json``, which has the noisy images used as "labelled_noisy". Methods
    that read no labels are in ``engine.stages.adapt``.
    """
    settings, seed = context.spec.settings, context.spec.seed
    assert seed is not None
    if settings["method"] in UNLABELLED:
        adapt(context)
        return
    noisy = noisy_sets(context.data, settings, seed=seed)
    watched = watched_splits(context.data, context.spec.watch, distortion=settings["distortion"], seed=seed)
    example = noisy.trained_on.images[:1].float() / 255
    parts = selected_parts(context) if "parts" in settings or "parameters" in settings else {}
    by_filter = settings["method"] in ("filters", "correction") and not parts
    selected = selected_filters(context) if by_filter else {}
    tune = _METHODS[settings["method"]]
    module = _tune_parts(context, parts, example) if parts else tune(context, selected, example)
    splits = _as_features(context, module, noisy.trained_on, noisy.selecting, *watched.values())
    judge = make_judge(splits[1], dict(zip(watched, splits[2:], strict=True)))
    rates = _own_rates(module) if settings.get("rates") == GRADIENT else None
    trainer = train(context, module.to(context.device), splits[0], settings["training"], judge, rates=rates)
    trainer.load_best()
    context.attempt.write_tensors("changes", module.changes())
    context.attempt.write_json("filters", {layer: indices.tolist() for layer, indices in selected.items()})
    if parts:
        context.attempt.write_json("parts", parts)
    context.attempt.write_json("result", result_of(trainer, context, noisy.budget))


def _own_rates(module: Tuned) -> RelativeRates | None:
    return module.own_rates() if isinstance(module, SelectiveFilters) else None


def _tune_filters(context: StageContext, selected: dict[str, Tensor], example: Tensor) -> Tuned:
    settings = context.spec.settings
    return SelectiveFilters(
        context.network(),
        selected,
        batch_norm=settings["batch_norm"],
        train_classifier=settings["train_classifier"],
        example=example,
    )


def _tune_parts(context: StageContext, parts: dict[str, list[str]], example: Tensor) -> Tuned:
    names = [*(name for part in parts.values() for name in part), *context.spec.settings.get("further", ())]
    return SelectiveFilters(context.network(), {}, whole=names, example=example)


def _tune_classifier(context: StageContext, selected: dict[str, Tensor], example: Tensor) -> Tuned:
    network = context.network()
    return SelectiveFilters(network, {}, train_classifier=True, example=example)


def _tune_corrections(context: StageContext, selected: dict[str, Tensor], example: Tensor) -> Tuned:
    assert context.spec.seed is not None
    network = context.network()
    return CorrectedFilters(network, selected, generator=generator(context.spec.seed, "correction units"))


def _tune_network(context: StageContext, selected: dict[str, Tensor], example: Tensor) -> Tuned:
    network = context.network()
    return WholeNetwork(network, batch_norm=context.spec.settings["batch_norm"])


_METHODS: dict[str, Callable[[StageContext, dict[str, Tensor], Tensor], Tuned]] = {
    "filters": _tune_filters,
    "classifier": _tune_classifier,
    "correction": _tune_corrections,
    "network": _tune_network,
}


def _as_features(context: StageContext, module: Tuned, *splits: Split) -> tuple[Split, ...]:
    """Return the splits as what the network makes of them before its tuned part, and have the module start there.

    Images that are augmented are new in every epoch: then, and where the network cannot be cut or its features would
    take too much memory, the splits are returned as they are.
    """
    if isinstance(module, WholeNetwork) or context.spec.settings["training"]["augmentation"] != "none":
        return splits
    network = module.network
    cut = cut_network(network, module.tuned_names, splits[0].images[:2].float() / 255)
    if cut is None or not cut.fits(sum(map(len, splits))):
        return splits
    module.start_from(cut.rest)
    return tuple(cut.features(split) for split in splits)
