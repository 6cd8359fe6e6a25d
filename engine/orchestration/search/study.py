"""A sweep's Optuna study: which of the planned trials are done, what to try next, and what came of it.

The study is the truth. Its trials are COMPLETE with the objective, PRUNED with intermediate values and a reason, or
FAIL with a reason; a trial that a dead driver left RUNNING becomes FAIL with ``interrupted``, and is run again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from engine.errors import InputError
from engine.orchestration.databases.patience import Patience
from engine.orchestration.search import dashboard
from engine.orchestration.search.distributions import distribution, parameters_of
from engine.orchestration.search.planned_trials import PlannedTrial, PlannedTrials
from engine.orchestration.search.proposals import Proposals
from engine.orchestration.search.pruner_kinds import PRUNERS
from engine.orchestration.search.pruners import PrunerChoice, make_pruner, yes_or_no
from engine.orchestration.search.repeats import Identities, Repeats
from engine.orchestration.search.sampler_study import MEMORY
from engine.orchestration.search.stored_studies import (
    is_result,
    objectives_of,
    recorded_space,
    results_of,
    with_importances,
    without_retried,
)
from engine.orchestration.search.study_trials import ENDED, StudyTrials
from engine.orchestration.search.user_faults import stops_in_order
from engine.redaction import hide_credentials
from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.trial_results import CORRUPTED
from engine.result_names import OfStudy, OfTrial
from engine.settings import TrialConfig
from engine.spaces import Space

WARM_UP_EPOCHS = 2
"""Epochs of its own that a trial runs before it can be pruned (where no rung says when)."""


@dataclass(frozen=True)
class Proposal:
    """A trial to be run.

    Attributes:
        planned: what it is for.
        number: its own, in the study.
        settings: {dotted path: value} over the space's base.
        end: why it is not run at all, but ends as pruned: it repeats a trial that was.
    """

    planned: PlannedTrial
    number: int
    settings: Mapping[str, Any]
    end: Reason | None = None


class SweepStudy:
    """Runs the planned trials through ask and tell.

    Args:
        planned: which trials there are.
        study: where they are kept, by ``open_study``.
        sampler: one of ``SAMPLERS`` that can explore the space, see ``check_search``.
        pruner: the one that is asked for; "none" with several objectives.
        resolve: a configuration's identity: proposals that equal an earlier trial in it are not made again. None to
            compare the settings as they are.
        patience: waits for a storage that is locked or away.
        retry_failed: whether trials that failed by themselves are run again; those that machines, store or network
            ended are in any case.

    Raises:
        InputError: several objectives and a pruner, or intermediate values of another kind than the pruner's.
    """

    def __init__(
        self,
        planned: PlannedTrials,
        study: optuna.Study,
        *,
        sampler: str,
        pruner: PrunerChoice,
        resolve: Callable[[TrialConfig], str] | None = None,
        patience: Patience | None = None,
        retry_failed: bool = False,
    ) -> None:
        self._patience = patience or Patience()
        self.planned = planned
        self.name = study.study_name
        self.objectives = objectives_of(study)
        self._pruner = make_pruner(pruner, planned.space)
        self._distributions = {axis.label: distribution(axis) for axis in planned.space.axes}
        if len(self.objectives) > 1 and self._pruner.name != "none":
            raise InputError(f"several objectives cannot be pruned on: the pruner must be 'none', got {pruner.name!r}")
        identities = Identities(planned.space, resolve)
        self._study = study
        self._recorded_space: Space | None = None
        self._check_steps("cells" if self._pruner.by_cells else "epochs")
        self._trials = StudyTrials(self._study, self._pruner.optuna, self._patience)
        self._live: dict[int, PlannedTrial] = {}
        self._own_epochs: dict[int, int] = {}
        self._with_gaps: set[int] = set()
        self._left: dict[str, Mapping[str, Any]] = {}
        self._set_aside: set[str] = set()
        self.n_recovered = self._recover()
        self._repeats = Repeats(identities)
        self._proposals = Proposals(
            planned,
            sampler,
            identities=identities,
            repeats=self._repeats,
            n_known=len(self._trials),
            n_objectives=len(self.objectives),
        )
        self._retried = self._failed_before(all_failures=retry_failed)
        for trial in self.finished():
            self._remember(trial)
        done = {trial.user_attrs[OfTrial.SLOT] for trial in self.finished()}
        self._todo = deque(self._as_left(entry) for entry in planned.left(done))
        self._winner: list[PlannedTrial] | None = None if planned.n_winner_trials else []

    def _check_steps(self, steps: str) -> None:
        """Make sure that the study's intermediate values are all of one kind."""
        known = self._study.user_attrs.get(OfStudy.STEPS)
        if known is None and len(self._study.get_trials(deepcopy=False)):
            known = "epochs"
        if known is None:
            self._study.set_user_attr(OfStudy.STEPS, steps)
        elif known != steps:
            raise InputError(
                f"study {self.name!r} compares trials by {known}, the pruner {self._pruner.name!r} would by {steps}; "
                "choose another --study, or a pruner of the first kind"
            )

    def finished(self) -> list[FrozenTrial]:
        """Return the ended trials that are done with: not those that were interrupted, or are (to be) run again."""
        ended = without_retried(self._trials.trials(ENDED))
        return [trial for trial in ended if is_result(trial) and trial.number not in self._retried]

    def _failed_before(self, *, all_failures: bool) -> set[int]:
        """Return the trials of earlier runs that are run again; they get the settings that they had."""
        failed = [trial for trial in without_retried(self._trials.trials(ENDED)) if trial.state == TrialState.FAIL]
        again = [trial for trial in failed if all_failures or not is_result(trial)]
        self._left |= {trial.user_attrs[OfTrial.SLOT]: trial.user_attrs[OfTrial.SETTINGS] for trial in again}
        return {trial.number for trial in again}

    @property
    def n_set_aside(self) -> int:
        """Return how many trials of this run machines, store or network have ended: another run is to try them."""
        return len(self._set_aside)

    @property
    def n_finished(self) -> int:
        """Return how many planned trials are done; repeats of a displaced winner are none of them."""
        self._plan_winner()
        entries = [*self.planned.arms(), *self.planned.proposals(), *(self._winner or ())]
        return len({entry.name for entry in entries} & {trial.user_attrs[OfTrial.SLOT] for trial in self.finished()})

    @property
    def n_left(self) -> int:
        """Return how many trials there are to start, at most: who the winner is, and so which of its repeats are done,
        may not be known yet.
        """
        self._plan_winner()
        to_come = self._winner is None and not self._lacks_proposals
        return len(self._todo) + (self.planned.n_winner_trials if to_come else 0)

    def n_left_of(self, group: str) -> int:
        """Return how many trials of a group are to start, or under way."""
        return sum(entry.group == group for entry in (*self._todo, *self._live.values()))

    @property
    def _lacks_proposals(self) -> bool:
        """Return whether the winner cannot be known in this run, since proposals were set aside."""
        return any(name.startswith("proposal/") for name in self._set_aside)

    @property
    def exhausted(self) -> bool:
        """Return whether every planned trial is done or under way, or set aside for another run."""
        return self.n_left == 0

    def ask(self) -> Proposal | None:
        """Return the next trial, or None while the next one waits for others to end (or none is left)."""
        self._plan_winner()
        if not self._todo:
            return None
        entry = self._todo.popleft()
        draft = self._proposals.draft(entry)
        notes = {
            OfTrial.SLOT: entry.name,
            OfTrial.SETTINGS: draft.settings,
            OfTrial.SEED: entry.seed,
            OfTrial.GROUP: entry.group,
        }
        identity = notes[OfTrial.IDENTITY] = self._repeats.identity(draft.settings, entry.seed)
        repeated = self._repeated(identity)
        if entry.purpose == "proposal" and repeated is not None:
            notes[OfTrial.REPEAT_OF] = repeated
        parameters = parameters_of(draft.settings, self.planned.space)
        distributions = {label: self._distributions[label] for label in parameters}
        memory = {MEMORY: draft.memory} if draft.memory else {}
        number = self._trials.open(parameters, distributions, notes=notes, memory=memory)
        self._remember_identity(identity, number)
        self._proposals.begin(entry, draft, self._trials[number])
        self._live[number] = entry
        return Proposal(entry, number, draft.settings, end=self._fate(number))

    def _repeated(self, identity: str) -> int | None:
        """Return the trial that a configuration repeats; one that failed came to nothing that could be had again."""
        number = self._repeats.find_known(identity)
        return None if number is None or self._trials[number].state == TrialState.FAIL else number

    def _remember_identity(self, identity: str, number: int) -> None:
        """Note a trial's configuration, in place of a trial of the same that failed."""
        earlier = self._repeats.find_known(identity)
        if earlier is not None and self._repeated(identity) is None:
            self._repeats.forget(earlier)
        self._repeats.add_known(identity, number)

    def _fate(self, number: int) -> Reason | None:
        """Return why a trial need not be run: it repeats one that was pruned, and would compute what that did not."""
        earlier = self._trials[number].user_attrs.get(OfTrial.REPEAT_OF)
        if earlier is None or self._trials[earlier].state != TrialState.PRUNED:
            return None
        return Reason("repeat", trial=earlier)

    def note(self, number: int, name: str, value: Any) -> None:
        """Keep a fact about a live trial in the study."""
        self._trials.note(number, name, value)

    @property
    def by_cells(self) -> bool:
        """Return whether the steps of the study's trials are cells of the evaluation, not epochs."""
        return self._pruner.by_cells

    def pass_over(self, number: int) -> None:
        """Take that an epoch of a trial has no value that could be compared: a pruner by rungs does not judge it."""
        self._with_gaps.add(number)

    def report(self, number: int, values: Mapping[int, float], *, own: bool) -> Reason | None:
        """Report intermediate values; return the reason if the trial should stop, without the stage that it is in.

        Args:
            number: the trial.
            values: {step: error}: an epoch's error on the probe, its step fixed for each stage and epoch; or, where the
                pruner compares cells, errors of some of them on validation images.
            own: whether the trial has gone its own way: a stage that others share is not pruned on.
        """
        entry = self._live[number]
        self._own_epochs[number] = self._own_epochs.get(number, 0) + own
        if len(self.objectives) > 1:
            return None  # Optuna knows intermediate values of a single objective only
        fate = self._fate(number)
        if fate is not None:
            return fate
        for step, value in values.items():
            self._trials.report(number, step, value)
        by_rungs = self._pruner.by_rungs
        warm_up = 1 if by_rungs or self.by_cells else WARM_UP_EPOCHS
        may_stop = own and entry.prunable and self._own_epochs[number] >= warm_up
        if by_rungs and number in self._with_gaps:
            return None  # it would count at a rung that it has passed, by an epoch beyond it
        if not (may_stop or by_rungs) or not self._should_prune(number) or not may_stop:
            return None
        complete = self._trials.trials((TrialState.COMPLETE,))
        if self.by_cells and complete:
            best = min(complete, key=lambda trial: trial.values[0])
            return self._pruner.cells_reason(self._trials[number].intermediate_values, best)
        others = [other.intermediate_values[step] for other in complete if step in other.intermediate_values]
        return self._pruner.reason(step, value, others)

    def _should_prune(self, number: int) -> bool:
        with stops_in_order(PRUNERS, self._pruner.name):
            return yes_or_no(self._pruner.name, self._trials.should_prune(number))

    def complete(self, number: int, *values: float) -> None:
        """End a trial with its value of each objective."""
        del self._live[number]
        self._proposals.end(self._trials.end(number, TrialState.COMPLETE, values))

    def prune(self, number: int, reason: Reason) -> None:
        """End a trial as pruned."""
        self._end(number, TrialState.PRUNED, reason)

    def fail(self, number: int, reason: Reason) -> None:
        """End a trial as failed; an interrupted one is to be run again, one that the machines ended by another run."""
        entry = self._live[number]
        if reason.kind == "interrupted":
            self.note(number, OfTrial.INTERRUPTED, True)
            self._repeats.forget(number)
            self._left[entry.name] = self._trials[number].user_attrs[OfTrial.SETTINGS]
            self._todo.appendleft(self._as_left(entry))
        elif reason.is_of_machines:
            self._set_aside.add(entry.name)
        self._end(number, TrialState.FAIL, reason)

    def results(self) -> Results:
        """Return what the study says by now; its trials are not read again."""
        if self._recorded_space is None:
            self._recorded_space = self._patience.call(recorded_space, self._study)
        return self._patience.call(results_of, self._study, self._trials.trials(ENDED), self._recorded_space)

    def last_results(self) -> Results:
        """Return the same with the importances of the settings: at the end, since Optuna imports much for them."""
        return with_importances(self.results(), self._trials.trials(ENDED))

    def note_command(self, command: str) -> None:
        """Keep the command that the sweep would be started by again."""
        self._patience.call(self._study.set_user_attr, OfStudy.COMMAND, command)

    def name_metrics(self) -> None:
        """Have optuna-dashboard show by what trials are compared."""
        self._patience.call(dashboard.name_metrics, self._study, self.objectives)

    def show_results(self, results: Results, artifacts: Path) -> None:
        """Have optuna-dashboard show what the study says; heat maps go into a folder of artifacts."""
        dashboard.show_results(self._study, results, artifacts)

    def note_experiment(self, experiment: str) -> None:
        """Keep the id of the MLflow experiment that has the study's runs."""
        self._patience.call(self._study.set_user_attr, OfStudy.EXPERIMENT, experiment)

    def interrupt_all(self) -> None:
        """End every live trial as interrupted."""
        for number in list(self._live):
            self.fail(number, Reason("interrupted"))

    def best(self) -> FrozenTrial | None:
        """Return the complete proposal with the least corrupted error, or None.

        With several objectives it is the point of the Pareto front that has it.
        """
        complete = [
            trial
            for trial in self.finished()
            if trial.state == TrialState.COMPLETE and trial.user_attrs[OfTrial.SLOT].startswith("proposal/")
        ]
        place = self.objectives.index(CORRUPTED)
        return min(complete, key=lambda trial: (trial.values[place], *trial.values, trial.number), default=None)

    def _end(self, number: int, state: TrialState, reason: Reason) -> None:
        self.note(number, OfTrial.REASON, replace(reason, text=hide_credentials(reason.text)).to_json())
        del self._live[number]
        self._proposals.end(self._trials.end(number, state))

    def _remember(self, trial: FrozenTrial) -> None:
        """Take over a trial from before: it is not proposed again, and the sampler learns from what was proposed."""
        noted = trial.user_attrs
        identity = noted.get(OfTrial.IDENTITY) or self._repeats.identity(
            noted.get(OfTrial.SETTINGS, {}), noted.get(OfTrial.SEED, 0)
        )
        self._remember_identity(identity, trial.number)
        self._proposals.remember(trial)

    def _as_left(self, entry: PlannedTrial) -> PlannedTrial:
        """Return a trial with the settings that it had if it was interrupted: its stages' checkpoints go on."""
        return replace(entry, settings=self._left[entry.name]) if entry.name in self._left else entry

    def _plan_winner(self) -> None:
        """Once every arm and proposal has ended, add the winner's repeats."""
        if self._winner is not None or self._todo or self._live or self._lacks_proposals:
            return
        best = self.best()
        self._winner = [] if best is None else list(self.planned.winner(best.user_attrs[OfTrial.SETTINGS]))
        done = {trial.user_attrs[OfTrial.SLOT] for trial in self.finished()}
        self._todo.extend(entry for entry in self._winner if entry.name not in done)

    def _recover(self) -> int:
        """End what a dead driver left running, or somebody else waiting; return how many trials that were."""
        left = self._trials.trials((TrialState.RUNNING, TrialState.WAITING))
        for trial in left:
            if OfTrial.SETTINGS in trial.user_attrs:
                self._left[trial.user_attrs[OfTrial.SLOT]] = trial.user_attrs[OfTrial.SETTINGS]
            self._trials.note(trial.number, OfTrial.INTERRUPTED, True)
            self._trials.note(trial.number, OfTrial.REASON, Reason("interrupted").to_json())
            self._trials.end(trial.number, TrialState.FAIL)
        return len(left)
