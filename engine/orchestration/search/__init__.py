"""Optuna's room: studies, samplers, pruners."""

from engine.orchestration.search.samplers import PRUNERS, SAMPLERS
from engine.orchestration.search.study import Proposal, SweepStudy, read_results, without_password

__all__ = ["PRUNERS", "SAMPLERS", "Proposal", "SweepStudy", "read_results", "without_password"]
