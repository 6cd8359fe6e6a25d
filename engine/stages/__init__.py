"""Stages of a trial's pipeline, their keys, and the store of what they made."""

from engine.stages import evaluate, finetune, pretrain, rank  # noqa: F401  (each registers its stage)
from engine.stages.chain import StageOutcome, run_chain
from engine.stages.context import StageCancelledError, StageContext
from engine.stages.evaluate import rows_to_table
from engine.stages.plan import TrialPlan, plan_trial
from engine.stages.prepared import data_getter, info_from_json, info_to_json, prepare_data
from engine.stages.runner import MissingInputError, environment, find_whole, git_commit, run_stage
from engine.stages.spec import STAGES, Stage, StageSpec, register_stage
from engine.stages.store import Artifact, CorruptArtifactError, Store

__all__ = [
    "STAGES",
    "Artifact",
    "CorruptArtifactError",
    "MissingInputError",
    "Stage",
    "StageCancelledError",
    "StageContext",
    "StageOutcome",
    "StageSpec",
    "Store",
    "TrialPlan",
    "data_getter",
    "environment",
    "find_whole",
    "git_commit",
    "info_from_json",
    "info_to_json",
    "plan_trial",
    "prepare_data",
    "register_stage",
    "rows_to_table",
    "run_chain",
    "run_stage",
]
