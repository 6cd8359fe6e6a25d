"""Stages of a trial's pipeline, their keys, and the store of what they made."""

from engine._lazy import lazy_names

_MODULES = {
    "STAGES": "engine.stages.catalogue",
    "InitialWeights": "engine.stages.given_weights",
    "MissingInputError": "engine.stages.runner",
    "Stage": "engine.stages.registration",
    "StageCancelledError": "engine.stages.context",
    "StageElsewhereError": "engine.stages.runner",
    "StageContext": "engine.stages.context",
    "StageOutcome": "engine.stages.chain",
    "Condition": "engine.relevance",
    "Planning": "engine.stages.planning",
    "StageSpec": "engine.stages.spec",
    "Store": "engine.store.store",
    "TrialPlan": "engine.stages.plan",
    "check_weights": "engine.stages.given_weights",
    "data_getter": "engine.stages.prepared",
    "environment": "engine.stages.runner",
    "find_whole": "engine.stages.runner",
    "git_commit": "engine.stages.runner",
    "info_from_json": "engine.stages.prepared",
    "info_to_json": "engine.stages.prepared",
    "obtain_stage": "engine.stages.runner",
    "plan_trial": "engine.stages.plan",
    "prepare_data": "engine.stages.prepared",
    "prepare_weights": "engine.stages.given_weights",
    "register_stage": "engine.stages.registration",
    "rows_to_table": "engine.metrics.scores",
    "run_chain": "engine.stages.chain",
    "run_stage": "engine.stages.runner",
    "train": "engine.stages.epochs",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
