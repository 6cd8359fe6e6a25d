"""What is used of Optuna beyond its documented interface; a test holds each against the installed version."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

STUDIES_TABLE = "studies"
"""The table that a database has once Optuna has made its own."""


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return the storage that a study is in."""
    return study._storage


def study_id(study: optuna.Study) -> int:
    """Return what a study's storage knows it by."""
    return study._study_id


def trial_id(trial: FrozenTrial) -> int:
    """Return what the storage of a trial's study knows it by."""
    return trial._trial_id


@dataclass(frozen=True)
class NotedTrial:
    """An ended trial as optuna-dashboard's ``save_note`` asks for it: Optuna gives out no ``Trial`` of one."""

    study: optuna.Study
    storage: BaseStorage
    _trial_id: int


def noted_trial(study: optuna.Study, trial: int) -> NotedTrial:
    """Return a study's trial, by what its storage knows it by, for optuna-dashboard's notes."""
    return NotedTrial(study, study._storage, trial)
