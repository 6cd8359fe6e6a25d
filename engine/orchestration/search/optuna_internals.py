"""What is used of Optuna beyond its documented interface; a test holds each against the installed version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    storage: NoteStorage
    _trial_id: int


class NoteStorage:
    """A study's storage as notes are written to it: what is noted there is read once, and not thrice a note.

    Args:
        study: the study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._storage = study._storage
        self._known: dict[str, Any] = dict(self._storage.get_study_system_attrs(study._study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what is noted."""
        return self._known

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note something."""
        self._storage.set_study_system_attr(study_id, key, value)
        self._known[key] = value


def noted_trial(study: optuna.Study, storage: NoteStorage, trial: int) -> NotedTrial:
    """Return a study's trial, by what its storage knows it by, for optuna-dashboard's notes."""
    return NotedTrial(study, storage, trial)
