"""A training within a stage: epoch by epoch, with reports and checkpoints, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from engine.data import Split
from engine.result_names import EpochRecord
from engine.settings import TrainingSettings
from engine.stages.budget import NoisyBudget
from engine.stages.context import StageContext
from engine.stages.probe import make_judge, watched_splits
from engine.training import Trainer
from engine.training.captured import Capturing
from engine.training.compiled import Compiling
from engine.training.loop import Judge, Loss
from engine.training.perturbation import Perturbation
from engine.training.relative_rates import RelativeRates

Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]


def train(
    context: StageContext,
    module: nn.Module,
    split: Split,
    settings: Mapping[str, Any],
    judge: Judge | None = None,
    *,
    begin: Callable[[StageContext], Checkpoint | None] = lambda context: None,
    architecture: str | None = None,
    rates: RelativeRates | None = None,
    loss: Loss | None = None,
    perturbation: Perturbation | None = None,
) -> Trainer:
    """Train a module epoch by epoch, with reports and checkpoints, from the last checkpoint if there is one.

    Args:
        context: the stage's.
        module: what is trained.
        split: on what.
        settings: how.
        judge: measures the module after an epoch; if not given, the clean validation images choose the best epoch, and
            the probe is watched. What else than an ``EpochRecord``'s errors it returns is told as metrics.
        begin: where no checkpoint is left, gives one to start from, or None.
        architecture: what tells modules apart whose steps are other ones; None where nothing does.
        rates: gives parts of the module learning rates of their own: then no step is recorded.
        loss: in the place of the cross-entropy: then no step is recorded.
        perturbation: what the images undergo: then no step is recorded.
    """
    seed = context.spec.seed
    assert seed is not None
    if judge is None:
        judge = make_judge(context.data.validation, watched_splits(context.data, context.spec.watch, seed=seed))
    trainer = Trainer(
        module,
        split,
        TrainingSettings(**{**settings, "milestones": tuple(settings.get("milestones", (0.5,)))}),
        seed=seed,
        judge=judge,
        capturing=Capturing(architecture) if context.spec.numerics.get("captured") else None,
        compiling=Compiling(architecture) if context.spec.numerics.get("compiled") else None,
        rates=rates,
        loss=loss,
        perturbation=perturbation,
    )
    if trainer.capturing is not None and not rates is loss is perturbation is None:
        other = "parts of the network have learning rates of their own" if loss is None else "the loss is another one"
        trainer.capturing.reason = other if perturbation is None else "the images are perturbed"
    found = context.load_checkpoint() or begin(context)
    if found is not None:
        trainer.restore(*found)
    while not trainer.finished:
        context.progress(trainer.state.epoch, trainer.settings.epochs)
        record = trainer.train_epoch()
        context.end_epoch(_as_told(record), None if trainer.finished else trainer.checkpoint())
    return trainer


def _as_told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an epoch's record with what a judge of a user's own measured beside the known errors as metrics."""
    known = {name: value for name, value in record.items() if name in EpochRecord.__annotations__}
    others = {name: value for name, value in record.items() if name not in known}
    return {**known, **({"metrics": others} if others else {})}


def result_of(trainer: Trainer, context: StageContext, budget: NoisyBudget | None) -> dict[str, Any]:
    """Return what a training came to, as JSON; what was only watched is in the history alone.

    "labelled_noisy" is the noisy images that it used, None where it used none.
    """
    steps = {} if trainer.capturing is None else {"steps": trainer.capturing.described()}
    passes = {} if trainer.compiling is None else {"passes": trainer.compiling.described()}
    return {**result_of_epoch(trainer.state.best_epoch, trainer.module, context, budget), **steps, **passes}


def result_of_epoch(kept: int, module: nn.Module, context: StageContext, budget: NoisyBudget | None) -> dict[str, Any]:
    """Return what ``result_of`` does of a module whose epoch ``kept``, counted from 1, is kept."""
    told = next(record for record in context.history if record["epoch"] == kept)
    return {
        "epochs": max(record["epoch"] for record in context.history),
        "best_epoch": kept,
        "validation_error": told["validation_error"],
        "n_trained": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "labelled_noisy": None if budget is None else budget.to_json(),
    }
