"""A sweep's study and store, made in this process, stage after stage, without Ray."""

from collections.abc import Callable
from typing import Any

import torch

from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.orchestration.search.pruners import parse_pruner
from engine.report.reasons import Reason
from engine.result_names import OfTrial
from engine.spaces import Space
from engine.stages import data_getter, run_chain
from tests.engine.orchestration.studies import make_sweep_study

CPU = torch.device("cpu")


def sweep_here(space: Space, *, fails: Callable[[str], bool] = lambda slot: False, **options: Any) -> None:
    """Run trials of a space, as many as the options say, on one thread.

    Args:
        space: the space.
        fails: whether the trial of a slot ("arm/plain/0") is to fail.
        options: those of a sweep; "home", "study" and "n_trials" among them.
    """
    prepared = prepare(SweepOptions(**options), space)
    study = make_sweep_study(
        prepared.planned,
        storage=prepared.options.storage_url,
        name=options["study"],
        sampler="random",
        pruner=parse_pruner("none"),
        resolve=prepared.identity,
    )
    get_data = data_getter(prepared.info, prepared.store, CPU)
    while (proposal := study.ask()) is not None:
        if fails(proposal.planned.name):
            study.fail(proposal.number, Reason("stage", "pretrain", text="pretrain: loss became nan"))
            continue
        plan = prepared.plan(prepared.space.config(proposal.settings, seed=proposal.planned.seed))
        outcomes = list(run_chain(plan, prepared.store, get_data, device=CPU))
        errors = next(done for done in outcomes if done.spec is plan.judged).artifact.json("errors")
        study.note(proposal.number, OfTrial.STAGES, {spec.stage: spec.key for spec in plan})
        study.note(proposal.number, OfTrial.ERRORS, errors)
        study.complete(proposal.number, errors["objective"])
