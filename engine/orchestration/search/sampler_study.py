"""An in-memory copy of a study in which a sampler proposes.

A proposal that is refused must not be a trial of the study, and Optuna has no way to take a trial back. So the sampler
works in a copy: it sees the study's proposals, live ones too, with their states and intermediate values; only what is
accepted becomes a trial of the study. It sees no arm and no repeat of a winner: those are on the seeds by which the
winner is compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from engine.errors import InputError
from engine.orchestration.databases.patience import RefusedError
from engine.orchestration.search.distributions import suggest, suggest_settings
from engine.orchestration.search.optuna_internals import trial_id
from engine.orchestration.search.samplers import SAMPLERS, SamplerRequest, make_sampler
from engine.orchestration.search.user_faults import stops_in_order
from engine.seeds import derive_seed
from engine.spaces import Space

MEMORY = "robustune:mirror"
"""System attribute of a trial in the study: what the sampler's study needs to have the trial again after a resume."""


@dataclass(frozen=True)
class Draft:
    """What is not a trial of the study yet.

    Attributes:
        settings: {dotted path: value}.
        number: its trial in the sampler's study; None for settings that were not proposed there.
        memory: what the study should keep as ``MEMORY``; empty for samplers that need nothing.
    """

    settings: dict[str, Any]
    number: int | None = None
    memory: dict[str, Any] = field(default_factory=dict)


def _optunas(seed: int, purpose: str) -> int:
    return derive_seed(seed, purpose) % 2**32  # numpy's generators take no larger one


class SamplerStudy:
    """Proposes settings by an Optuna sampler.

    Args:
        space: what is explored.
        sampler: name of a sampler that is asked.
        seed: what the sampler's own is derived from.
        n_proposals: how many there will be.
        n_objectives: how many values a trial ends with, each to be made small.
    """

    def __init__(self, space: Space, sampler: str, *, seed: int, n_proposals: int, n_objectives: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._name = sampler
        self._kind = SAMPLERS[sampler]
        given = SamplerRequest(_optunas(seed, sampler), n_proposals, n_objectives, space)
        self._distributions = given.distributions
        self._sampler = make_sampler(sampler, given)
        self._random = optuna.samplers.RandomSampler(seed=_optunas(seed, "at random"))
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            sampler=self._sampler,
            pruner=optuna.pruners.NopPruner(),
            directions=["minimize"] * n_objectives,
        )
        self._numbers: dict[int, int] = {}

    def propose(self, *, at_random: bool = False) -> Draft:
        """Return a proposal. Until it is accepted or refused the sampler sees it as a live trial, and avoids it."""
        with stops_in_order(SAMPLERS, self._name):
            return self._propose(at_random=at_random)

    def _propose(self, *, at_random: bool) -> Draft:
        self._study.sampler = self._random if at_random else self._sampler
        trial = self._study.ask()
        if self._kind.conditional:
            settings = suggest_settings(trial, self._space)
        else:
            values = {axis.label: suggest(trial, axis) for axis in self._space.axes}
            settings = self._space.settings_from(lambda axis: values[axis.label])
        self._study.sampler = self._sampler
        return Draft(settings, trial.number, self._memory(trial))

    def refuse(self, drafts: Iterable[Draft]) -> None:
        """Give proposals up: samplers learn nothing from them."""
        for draft in drafts:
            assert draft.number is not None
            self._tell(draft.number, TrialState.FAIL)

    def accept(self, draft: Draft, number: int) -> None:
        """Note which trial of the study a proposal has become."""
        assert draft.number is not None
        self._numbers[number] = draft.number

    def add(self, trial: FrozenTrial) -> None:
        """Take over a proposal of the study that was not made here, but by an earlier driver.

        A sampler that needs every axis cannot learn from a trial that lacks some.
        """
        memory = trial.system_attrs.get(MEMORY, {})
        values = memory.get("parameters", trial.params)
        known = {label: value for label, value in values.items() if label in self._distributions}
        if trial.state == TrialState.FAIL or not (self._kind.conditional or len(known) == len(self._distributions)):
            return
        self._study.add_trial(
            optuna.trial.create_trial(
                state=trial.state,
                params=known,
                distributions={label: self._distributions[label] for label in known},
                values=trial.values if trial.state == TrialState.COMPLETE else None,
                intermediate_values=trial.intermediate_values,
                system_attrs=memory.get("attributes", {}),
            )
        )
        if trial.state == TrialState.RUNNING:
            self._numbers[trial.number] = self._study.get_trials(deepcopy=False)[-1].number

    def end(self, trial: FrozenTrial) -> None:
        """Take over how a live trial of the study has ended."""
        number = self._numbers.pop(trial.number, None)
        if number is None:
            return
        known = trial_id(self._study.get_trials(deepcopy=False)[number])
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(known, step, value)
        self._tell(number, trial.state, trial.values if trial.state == TrialState.COMPLETE else None)

    def _tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        with stops_in_order(SAMPLERS, self._name):
            self._study.tell(number, values, state=state)

    def _memory(self, trial: optuna.Trial) -> dict[str, Any]:
        memory: dict[str, Any] = {} if self._kind.conditional else {"parameters": trial.params}
        if self._kind.keeps_state or not self._kind.conditional:
            attributes = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
            memory["attributes"] = dict(attributes) if self._kind.keeps_state else {}
        return memory


def try_sampler(name: str, space: Space, *, n_proposals: int, n_objectives: int) -> None:
    """Ask a user's own sampler for two proposals, with one trial that ended in between.

    Raises:
        InputError: it fails, and how.
    """
    if SAMPLERS.source_digest(name) is None:
        return  # the project's own are tested
    try:
        study = SamplerStudy(space, name, seed=0, n_proposals=n_proposals, n_objectives=n_objectives)
        first = study.propose()
        study.accept(first, 0)
        ended = optuna.trial.create_trial(values=[0.5] * n_objectives)
        ended.number = 0
        study.end(ended)
        json.dumps(study.propose().memory)
    except InputError:
        raise
    except RefusedError as error:
        raise InputError(str(error)) from error
    except Exception as error:  # of the user's function itself
        raise InputError(f"sampler {name!r} fails: {type(error).__name__}: {error}") from error
