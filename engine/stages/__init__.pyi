"""The names of engine.stages, for editors and type checkers: `python -m tests.test_stubs`."""

from engine.metrics.scores import rows_to_table
from engine.relevance import Condition
from engine.stages.catalogue import STAGES
from engine.stages.chain import StageOutcome, run_chain
from engine.stages.context import StageCancelledError, StageContext
from engine.stages.epochs import train
from engine.stages.given_weights import InitialWeights, check_weights, prepare_weights
from engine.stages.plan import TrialPlan, plan_trial
from engine.stages.planning import Planning
from engine.stages.prepared import data_getter, info_from_json, info_to_json, prepare_data
from engine.stages.registration import Stage, register_stage
from engine.stages.runner import (
    MissingInputError,
    StageElsewhereError,
    environment,
    find_whole,
    git_commit,
    obtain_stage,
    run_stage,
)
from engine.stages.spec import StageSpec
from engine.store.store import Store

__all__ = [
    "STAGES",
    "Condition",
    "InitialWeights",
    "MissingInputError",
    "Planning",
    "Stage",
    "StageCancelledError",
    "StageContext",
    "StageElsewhereError",
    "StageOutcome",
    "StageSpec",
    "Store",
    "TrialPlan",
    "check_weights",
    "data_getter",
    "environment",
    "find_whole",
    "git_commit",
    "info_from_json",
    "info_to_json",
    "obtain_stage",
    "plan_trial",
    "prepare_data",
    "prepare_weights",
    "register_stage",
    "rows_to_table",
    "run_chain",
    "run_stage",
    "train",
]
