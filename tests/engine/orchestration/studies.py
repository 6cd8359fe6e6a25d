"""A sweep's study, made as a sweep makes it."""

from typing import Any

from engine.orchestration.search import SweepStudy
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.stored_studies import open_study
from engine.report.trial_results import CORRUPTED


def make_sweep_study(
    planned: PlannedTrials, *, storage: str, name: str, objectives: tuple[str, ...] = (CORRUPTED,), **options: Any
) -> SweepStudy:
    """Return the study of a name, new or as it was left; the options are those of ``SweepStudy``."""
    study = open_study(planned.space, planned.study_seed, storage=storage, name=name, objectives=objectives)
    return SweepStudy(planned, study, **options)
