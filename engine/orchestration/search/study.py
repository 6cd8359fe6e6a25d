"""A sweep's Optuna study: which slots are filled, what to try next, and what came of it.

The study is the truth. Its trials are COMPLETE with the objective, PRUNED with intermediate values and a reason, or
FAIL with a reason; a trial that a dead driver left RUNNING becomes FAIL with ``interrupted``, and its slot is free
again.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from engine.errors import InputError, unknown_name
from engine.orchestration.agenda import Agenda, Slot
from engine.orchestration.results import Results, TrialResult
from engine.orchestration.search.distributions import distribution, parameters_of, suggest_settings
from engine.orchestration.search.samplers import make_pruner, make_sampler
from engine.spaces import Space, draw_settings

SLOT = "slot"
SETTINGS = "settings"
SEED = "seed"
GROUP = "group"
REASON = "reason"
INTERRUPTED = "interrupted"
SPACE = "space"
SPACE_DIGEST = "space_digest"
STUDY_SEED = "study_seed"
EXPERIMENT = "mlflow_experiment"

WARM_UP_EPOCHS = 2
"""Epochs of its own that a trial runs before it can be pruned."""


@dataclass(frozen=True)
class Proposal:
    """A trial to be run: its slot, its number in the study, and its settings."""

    slot: Slot
    number: int
    settings: Mapping[str, Any]


class SweepStudy:
    """Fills the agenda's slots through ask and tell.

    Args:
        agenda: the slots.
        storage: Optuna storage URL.
        name: the study's name.
        sampler: "tpe" or "random".
        pruner: "median", "percentile" or "none".

    Raises:
        InputError: the storage cannot be used, or the study exists with another space or seed.
    """

    def __init__(self, agenda: Agenda, *, storage: str, name: str, sampler: str, pruner: str) -> None:
        self.agenda = agenda
        self.name = name
        self.sampler_name = sampler
        self.pruner_name = pruner
        self._study = open_study(agenda.space, agenda.study_seed, storage=storage, name=name)
        self._study.sampler = make_sampler(sampler, seed=agenda.study_seed + len(self._study.trials))
        self._study.pruner = make_pruner(pruner)
        self._live: dict[int, tuple[optuna.Trial, Slot]] = {}
        self._own_epochs: dict[int, int] = {}
        self.n_recovered = self._recover()
        done = {trial.user_attrs[SLOT] for trial in self.finished()}
        self._todo = deque(slot for slot in [*agenda.arms(), *agenda.proposals()] if slot.name not in done)
        self._winner_planned = agenda.n_winner_trials == 0

    def finished(self) -> list[FrozenTrial]:
        """Return the ended trials, without those that were interrupted."""
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        trials = self._study.get_trials(deepcopy=False, states=states)
        return [trial for trial in trials if _counts(trial)]

    @property
    def n_finished(self) -> int:
        """Return how many slots are filled."""
        return len(self.finished())

    @property
    def exhausted(self) -> bool:
        """Return whether every slot is filled or under way."""
        self._plan_winner()
        return not self._todo and self._winner_planned

    def ask(self) -> Proposal | None:
        """Return the next trial, or None while the next slot waits for others to end (or none is left)."""
        self._plan_winner()
        if not self._todo:
            return None
        slot = self._todo.popleft()
        trial, settings = self._open(slot)
        for name, value in ((SLOT, slot.name), (SETTINGS, settings), (SEED, slot.seed), (GROUP, slot.group)):
            trial.set_user_attr(name, value)
        self._live[trial.number] = (trial, slot)
        return Proposal(slot, trial.number, settings)

    def note(self, number: int, name: str, value: Any) -> None:
        """Keep a fact about a live trial in the study."""
        self._live[number][0].set_user_attr(name, value)

    def report(self, number: int, step: int, value: float, *, own: bool) -> str | None:
        """Report an intermediate value; return the reason if the trial should stop.

        Args:
            number: the trial.
            step: fixed for each stage and epoch.
            value: error on the probe.
            own: whether the trial has gone its own way: a stage that others share is not pruned on.
        """
        trial, slot = self._live[number]
        trial.report(value, step)
        self._own_epochs[number] = self._own_epochs.get(number, 0) + own
        if not own or not slot.prunable or self._own_epochs[number] < WARM_UP_EPOCHS or not trial.should_prune():
            return None
        others = [
            other.intermediate_values[step]
            for other in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if step in other.intermediate_values
        ]
        middle = f", median of the {len(others)} complete trials {statistics.median(others):.4f}" if others else ""
        return f"{self.pruner_name} pruner at step {step}: probe error {value:.4f}{middle}"

    def complete(self, number: int, objective: float) -> None:
        """End a trial with its objective."""
        trial, _ = self._live.pop(number)
        self._study.tell(trial, objective)

    def prune(self, number: int, reason: str) -> None:
        """End a trial as pruned."""
        self._end(number, TrialState.PRUNED, reason)

    def fail(self, number: int, reason: str, *, interrupted: bool = False) -> None:
        """End a trial as failed; an interrupted one's slot is free again."""
        _, slot = self._live[number]
        if interrupted:
            self.note(number, INTERRUPTED, True)
            self._todo.appendleft(slot)
        self._end(number, TrialState.FAIL, reason)

    def note_experiment(self, experiment: str) -> None:
        """Keep the id of the MLflow experiment that has the study's runs."""
        self._study.set_user_attr(EXPERIMENT, experiment)

    def interrupt_all(self) -> None:
        """End every live trial as interrupted."""
        for number in list(self._live):
            self.fail(number, INTERRUPTED, interrupted=True)

    def best(self) -> FrozenTrial | None:
        """Return the complete trial with the least objective among the proposals, or None."""
        complete = [
            trial
            for trial in self.finished()
            if trial.state == TrialState.COMPLETE and trial.user_attrs[SLOT].startswith("proposal/")
        ]
        return min(complete, key=lambda trial: (trial.value, trial.number), default=None)

    def _end(self, number: int, state: TrialState, reason: str) -> None:
        self.note(number, REASON, reason)
        trial, _ = self._live.pop(number)
        self._study.tell(trial, state=state)

    def _open(self, slot: Slot) -> tuple[optuna.Trial, dict[str, Any]]:
        """Start a trial in the study with its parameters."""
        space = self.agenda.space
        if slot.settings is None and self.sampler_name != "random":
            trial = self._study.ask()
            return trial, suggest_settings(trial, space)
        settings = slot.settings
        if settings is None:
            index = int(slot.name.removeprefix("proposal/"))
            settings = draw_settings(space, seed=self.agenda.study_seed, index=index)
        parameters = parameters_of(settings, space)
        self._study.enqueue_trial(parameters, user_attrs={SLOT: slot.name})
        trial = self._study.ask({axis.label: distribution(axis) for axis in space.axes if axis.label in parameters})
        return trial, dict(settings)

    def _plan_winner(self) -> None:
        """Once every arm and proposal has ended, add the winner's slots."""
        if self._winner_planned or self._todo or self._live:
            return
        self._winner_planned = True
        best = self.best()
        if best is None:
            return
        done = {trial.user_attrs[SLOT] for trial in self.finished()}
        self._todo.extend(slot for slot in self.agenda.winner(best.user_attrs[SETTINGS]) if slot.name not in done)

    def _recover(self) -> int:
        """End what a dead driver left running or waiting; return how many trials that were."""
        for _ in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.ask()  # takes a waiting trial, which is running then
        left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for frozen in left:
            trial = optuna.Trial(self._study, frozen._trial_id)
            trial.set_user_attr(INTERRUPTED, True)
            trial.set_user_attr(REASON, INTERRUPTED)
            self._study.tell(trial, state=TrialState.FAIL)
        return len(left)


def open_study(space: Space, study_seed: int, *, storage: str, name: str) -> optuna.Study:
    """Return a study, new or as it was left.

    Raises:
        InputError: the storage cannot be used, or the study exists with another space or seed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _create(storage, name)
    known = study.user_attrs.get(SPACE_DIGEST)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise InputError(
                f"study {name!r} exists in this storage, but was not made by a sweep; choose another --study"
            )
        study.set_user_attr(SPACE, space.to_json())
        study.set_user_attr(STUDY_SEED, study_seed)
        study.set_user_attr(SPACE_DIGEST, space.digest)
    elif known != space.digest:
        other = study.user_attrs[SPACE]["name"]
        raise InputError(
            f"study {name!r} exists with another space ({other}, digest {known}; this one: {space.name}, digest "
            f"{space.digest}); choose another --study, or the space that it was made with"
        )
    elif study.user_attrs[STUDY_SEED] != study_seed:
        raise InputError(
            f"study {name!r} exists with seed {study.user_attrs[STUDY_SEED]}, got {study_seed}; choose another --study"
        )
    return study


def _create(storage: str, name: str) -> optuna.Study:
    try:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
    except InputError:
        raise
    except Exception as error:  # each storage has its own kinds of errors
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise InputError(f"study storage cannot be used: {without_password(storage)} ({reason})") from None


def without_password(url: str) -> str:
    """Return a URL with the password in it hidden."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.split("@")[-1]


def read_results(storage: str, name: str) -> Results:
    """Return what a study says, without changing it.

    Raises:
        InputError: there is no such study, or it was not made by a sweep.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        known = optuna.get_all_study_names(storage)
        raise unknown_name("study", name, known) from None
    if SPACE not in study.user_attrs:
        raise InputError(f"study {name!r} was not made by a sweep")
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = [_result(trial) for trial in study.get_trials(deepcopy=False, states=ended) if _counts(trial)]
    experiment = study.user_attrs.get(EXPERIMENT, "")
    return Results(name, Space.from_json(study.user_attrs[SPACE]), tuple(trials), experiment)


def _counts(trial: FrozenTrial) -> bool:
    return SLOT in trial.user_attrs and not trial.user_attrs.get(INTERRUPTED)


def _result(trial: FrozenTrial) -> TrialResult:
    noted = trial.user_attrs
    return TrialResult(
        number=trial.number,
        slot=noted[SLOT],
        group=noted.get(GROUP, ""),
        seed=noted.get(SEED, 0),
        state=trial.state.name,
        settings=noted.get(SETTINGS, {}),
        objective=trial.value if trial.state == TrialState.COMPLETE else None,
        errors=noted.get("errors"),
        reason=noted.get(REASON, ""),
        stages=noted.get("stages", {}),
    )
