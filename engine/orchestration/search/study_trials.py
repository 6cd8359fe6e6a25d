"""A study's trials on disk and in memory: each change is one write, and nothing is read back.

Optuna's objects read the storage before and after whatever they do: over a hundred statements for a trial of twenty
reports. A driver holds its study alone (``DriverLease``), so that what it wrote is what there is: the trials are read
once, kept in memory, and pruners look at them there. Every change reaches the storage before the call returns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from engine.orchestration.databases.patience import Patience
from engine.orchestration.search.optuna_internals import storage_of, study_id, trial_id
from engine.report.reasons import Reason
from engine.result_names import OfTrial

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class StudyTrials:
    """The trials of a study that this process alone writes.

    Trials are known by their number in the study; an ended one does not change any more.

    Args:
        study: the study.
        pruner: judges live trials.
        patience: waits for a storage that is locked or away.
    """

    def __init__(
        self, study: optuna.Study, pruner: optuna.pruners.BasePruner, patience: Patience | None = None
    ) -> None:
        self._patience = patience or Patience()
        self._storage = storage_of(study)
        self._study_id = study_id(study)
        self._pruner = pruner
        self._memory = optuna.storages.InMemoryStorage()
        self._copy = optuna.create_study(
            storage=self._memory,
            study_name=study.study_name,
            directions=study.directions,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
            pruner=pruner,
        )
        self._copy_id = study_id(self._copy)
        self._ids: list[tuple[int, int]] = []
        self._kept: list[frozenset[str]] = []
        """Names of the system attributes that each trial has on disk."""
        for trial in study.get_trials(deepcopy=False):
            self._ids.append((trial_id(trial), self._memory.create_new_trial(self._copy_id, trial)))
            self._kept.append(frozenset(trial.system_attrs))

    def __len__(self) -> int:
        """Return how many trials there are."""
        return len(self._ids)

    def __getitem__(self, number: int) -> FrozenTrial:
        """Return a trial as it is now; it must not be changed."""
        return self._memory.get_all_trials(self._copy_id, deepcopy=False)[number]

    def trials(self, states: Collection[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials, those in some states only if wanted, by number; they must not be changed."""
        return self._memory.get_all_trials(
            self._copy_id, deepcopy=False, states=tuple(states) if states is not None else None
        )

    def open(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        *,
        notes: Mapping[str, Any],
        memory: Mapping[str, Any] | None = None,
    ) -> int:
        """Start a trial; return its number.

        Args:
            params: the study's parameters that it has, {name: value}.
            distributions: one for each of them.
            notes: user attributes.
            memory: system attributes.
        """
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=dict(distributions),
            user_attrs=dict(notes),
            system_attrs=dict(memory or {}),
        )
        known = self._patience.call(self._storage.create_new_trial, self._study_id, trial)
        while (made := self._patience.call(self._made_at, len(self._ids))) != known:
            self._set_aside(made, trial)
        return self._append(known, trial)

    def _append(self, known: int, trial: FrozenTrial) -> int:
        self._ids.append((known, self._memory.create_new_trial(self._copy_id, trial)))
        self._kept.append(frozenset(trial.system_attrs))
        return len(self._ids) - 1

    def _made_at(self, number: int) -> int:
        """Return what the storage knows a trial by; of one that was just made here it is not asked."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _set_aside(self, made: int, wanted: FrozenTrial) -> None:
        """Take in a trial that came before the one that was wanted: made for it, by an attempt that had no answer."""
        found = self._patience.call(self._storage.get_trial, made)
        number = self._append(made, found)
        if found.state == TrialState.RUNNING and found.user_attrs == wanted.user_attrs:
            self.note(number, OfTrial.INTERRUPTED, True)
            self.note(number, OfTrial.REASON, Reason("interrupted").to_json())
            self.end(number, TrialState.FAIL)

    def note(self, number: int, name: str, value: Any) -> None:
        """Keep a fact about a live trial."""
        for storage, trial in self._both(number):
            self._patience.call(storage.set_trial_user_attr, trial, name, value)

    def report(self, number: int, step: int, value: float) -> None:
        """Keep an intermediate value; the first one of a step counts."""
        if step not in self[number].intermediate_values:
            for storage, trial in self._both(number):
                self._patience.call(storage.set_trial_intermediate_value, trial, step, value)

    def should_prune(self, number: int) -> object:
        """Return what the pruner says of whether it would stop a trial at its last step."""
        return self._pruner.prune(self._copy, self[number])

    def end(self, number: int, state: TrialState, values: tuple[float, ...] | None = None) -> FrozenTrial:
        """End a trial, a pruned one with its last intermediate value as Optuna has it; return it."""
        trial = self[number]
        if state == TrialState.PRUNED and trial.last_step is not None:
            last = trial.intermediate_values[trial.last_step]
            values = (last,) if math.isfinite(last) else None
        for name, value in trial.system_attrs.items():
            if name not in self._kept[number]:  # what the pruner noted in memory
                self._patience.call(self._storage.set_trial_system_attr, self._ids[number][0], name, value)
        for storage, known in self._both(number):
            self._patience.call(_end, storage, known, state, values)
        return self[number]

    def _both(self, number: int) -> tuple[tuple[BaseStorage, int], tuple[BaseStorage, int]]:
        on_disk, in_memory = self._ids[number]
        return (self._storage, on_disk), (self._memory, in_memory)


def _end(storage: BaseStorage, known: int, state: TrialState, values: tuple[float, ...] | None) -> None:
    """End a trial, unless an attempt has done so whose answer was lost."""
    try:
        storage.set_trial_state_values(known, state, None if values is None else list(values))
    except optuna.exceptions.UpdateFinishedTrialError:
        if storage.get_trial(known).state != state:
            raise
