"""What Tune's searcher and scheduler call: trials are taken from the study, planned, heard and ended here.

It knows the study, the tracking and the screen, but neither Ray nor processes.
"""

from __future__ import annotations

import _thread
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from engine.errors import InputError
from engine.orchestration.databases.patience import passing_reason
from engine.orchestration.search import Proposal, SweepStudy
from engine.orchestration.tracking import TrackingEvents
from engine.report.live_screen import LiveScreen
from engine.report.reasons import Kind, Reason
from engine.report.trial_results import describe_settings, objective_values
from engine.result_names import OfTrial, Tag
from engine.settings import TrialConfig
from engine.spaces.arms import WINNER
from engine.stages import StageSpec, TrialPlan, git_commit
from engine.stages.steps import step_bases
from engine.store import CorruptArtifactError, Store, StoreFaultError

STOPPING = "stopping: trials under way end as interrupted, and what the tracking is to hear of them is written"
_Taken = TypeVar("_Taken")


@dataclass
class LiveTrial:
    """A trial under way."""

    proposal: Proposal
    config: TrialConfig
    plan: TrialPlan
    errors: Mapping[str, Any] | None = None
    stages: Mapping[str, Any] = field(default_factory=dict)
    failure: Reason | None = None
    prune_reason: Reason | None = None
    last_step: int = 0
    told_of: str = ""
    """The stage of the last epoch that it has told."""
    ended: bool = False


class TrialFlow:
    """The way of a sweep's trials: given out, planned, heard and ended.

    Args:
        study: which trials to run, and what came of them.
        plan: makes a trial's plan from its configuration.
        events: hears everything, for the tracking.
        screen: shows everything.
        store: where artifacts are read for the tracking.
        release: tells the broker that a trial has ended.
        broker: the broker's name.
        n_together: trials in flight.
        n_slots: how many stages may run at once.
        prepare_end: called once, to do ahead what the end takes: while slots have nothing to do, since all trials wait
            for the same first stages, or else when none is left to begin and one of the last has ended.
        stop: stops the sweep when there is a ``fault``; None to interrupt the main thread.

    Attributes:
        fault: what database or disk said when they had refused for too long, or why no stage can be run at all; "" as
            long as all is well. After it nothing is written any more.
    """

    def __init__(
        self,
        study: SweepStudy,
        *,
        plan: Callable[[TrialConfig], TrialPlan],
        events: TrackingEvents,
        screen: LiveScreen,
        store: Store,
        release: Callable[[str], None],
        broker: str,
        n_together: int,
        n_slots: int = 1,
        prepare_end: Callable[[], None] = lambda: None,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self.fault = ""
        self._stop = stop or _thread.interrupt_main
        self._study = study
        self._plan = plan
        self._events = events
        self._screen = screen
        self._store = store
        self._release = release
        self._broker = broker
        self._n_together = n_together
        self._n_slots = n_slots
        self._prepare_end: Callable[[], None] | None = prepare_end
        self._live: dict[str, LiveTrial] = {}
        self._step_bases = step_bases(study.planned.space)

    @property
    def finished(self) -> bool:
        """Return whether no trial is left to start."""
        return bool(self.fault) or self._study.exhausted

    def live_stages(self) -> list[StageSpec]:
        """Return all stages of the trials under way; any thread may ask."""
        return [spec for trial in list(self._live.values()) if not trial.ended for spec in trial.plan]

    def next_trial(self, trial_id: str) -> dict[str, Any] | None:
        """Return what a light trial needs to run, or None while there is none to start."""
        return self._unless_refused(self._next_trial, trial_id, otherwise=None)

    def on_result(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Take a trial's report; return whether it should stop."""
        return self._unless_refused(self._on_result, trial_id, result, otherwise=True)

    def on_end(self, trial_id: str, *, error: bool) -> None:
        """Take that a trial is over, or cannot go on for good."""
        self._unless_refused(self._on_end, trial_id, error, otherwise=None)
        if self._study.exhausted and self._live:
            self._prepare()

    def _prepare(self) -> None:
        """Do ahead what the end takes, unless that was done."""
        if self._prepare_end is not None:
            prepare, self._prepare_end = self._prepare_end, None
            prepare()

    def _unless_refused(self, take: Callable[..., _Taken], *arguments: Any, otherwise: _Taken) -> _Taken:
        """Call and return what comes of it; once database or disk have refused for too long, stop the sweep instead."""
        if self.fault:
            return otherwise
        try:
            return take(*arguments)
        except Exception as error:
            reason = passing_reason(error)
            if reason is None:
                raise
            self.fault = reason
            self._stop()
            return otherwise

    def _next_trial(self, trial_id: str) -> dict[str, Any] | None:
        while len(self._live) < self._n_together:
            proposal = self._study.ask()
            if proposal is None:
                return None
            self._screen.asked(proposal.planned.name)
            try:
                config = self._study.planned.space.config(proposal.settings, seed=proposal.planned.seed)
                plan = self._plan(config)
            except InputError as error:
                self._study.fail(proposal.number, Reason("settings", text=str(error)))
                self._screen.ended(proposal.planned.name, "failed")
                continue
            trial = LiveTrial(proposal, config, plan, prune_reason=proposal.end)
            planned, flat = proposal.planned, config.flat()
            self._events.start_group(planned.name, planned.group, flat, proposal.settings)
            self._events.start_trial(planned.name, proposal.number, flat, self._tags(trial))
            if proposal.end is not None:
                self._end(trial, error=False)
                continue
            self._live[trial_id] = trial
            return {"plan": json.dumps(self._travelling(trial_id, plan))}
        return None

    def _on_result(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        trial = self._live.get(trial_id)
        if trial is None or trial.prune_reason:
            return trial is not None
        if trial.ended:  # it was begun anew after its last word
            return False
        if self._hear(trial, result.get("records", [])):
            return True
        if result.get("hopeless"):  # so would all others fail: the sweep ends, and none of them counts
            self.fault = result["failure"]
            self._stop()
            return True
        if "failure" in result:
            kind: Kind = "infrastructure" if result.get("infrastructure") else "stage"
            trial.failure = Reason(kind, stage=result.get("stage", ""), text=result["failure"])
        trial.stages = result.get("stages", trial.stages)
        if "objective" in result:
            trial.errors = result["errors"]
        if "failure" in result or "objective" in result:  # its last word: others may wait for it
            self._end(trial, error=False)
        return False

    def _hear(self, trial: LiveTrial, records: Sequence[Mapping[str, Any]]) -> bool:
        """Take a trial's epochs, and its batches of cells; return whether it is pruned by one of them."""
        epochs = [record for record in records if "epoch" in record and record["step"] > trial.last_step]  # told once
        self._events.epochs(trial.proposal.planned.name, epochs)
        if epochs:
            trial.told_of = epochs[-1]["stage"]
            if self._prepare_end is not None and self._slots_wait():
                self._prepare()
        for record in epochs:
            trial.last_step = record["step"]
            trial.prune_reason = self._report_epoch(trial.proposal.number, record)
            if trial.prune_reason is not None:
                return True
        for record in records:
            if "cells" in record and record["own_watch"]:
                trial.prune_reason = self._report_cells(trial.proposal.number, record)
                if trial.prune_reason is not None:
                    return True
        return False

    def _report_epoch(self, number: int, record: Mapping[str, Any]) -> Reason | None:
        """Report an epoch to the study; return why the trial is pruned, or None."""
        value = record["value"]
        if not record["own_watch"]:
            self._study.pass_over(number)
            return None
        if self._study.by_cells or not math.isfinite(value):
            return None  # Optuna refuses NaN; the stage itself ends with the reason
        reason = self._study.report(number, {record["step"]: value}, own=record["own"])
        return None if reason is None else replace(reason, stage=record["stage"], epoch=record["epoch"])

    def _report_cells(self, number: int, record: Mapping[str, Any]) -> Reason | None:
        """Report a batch of cells to the study; return why the trial is pruned, or None."""
        cells = {record["first"] + place: cell["error"] for place, cell in enumerate(record["cells"])}
        reason = self._study.report(number, cells, own=record["own"])
        return None if reason is None else replace(reason, stage=record["stage"])

    def _slots_wait(self) -> bool:
        """Return whether some slots have nothing to do: all trials are at their first stages, which are fewer."""
        firsts = [(trial, next(iter(trial.plan))) for trial in self._live.values()]
        at_first = all(not trial.ended and trial.told_of in ("", first.stage) for trial, first in firsts)
        return at_first and len({first.key for _, first in firsts}) < self._n_slots

    def _on_end(self, trial_id: str, error: bool) -> None:
        trial = self._live.pop(trial_id, None)
        if trial is not None:
            self._release(trial_id)
            if not trial.ended:
                self._end(trial, error=error)

    def _end(self, trial: LiveTrial, *, error: bool) -> None:
        """End a trial in the study, the tracking and on the screen."""
        trial.ended = True
        state, tags = self._end_in_study(trial, error=error)
        status = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}[state]
        rankings, filters = self._artifacts(trial) if state == "complete" else (None, None)
        self._events.end_trial(
            trial.proposal.planned.name,
            status,
            tags={**tags, **_hosts(trial)},
            step=trial.last_step,
            errors=trial.errors,
            rankings=rankings,
            filters=filters,
            title=f"{trial.proposal.planned.name}: {describe_settings(trial.proposal.settings)}",
        )
        self._end_group(trial.proposal.planned.group)
        objective = trial.errors["objective"] if trial.errors else None
        self._screen.ended(trial.proposal.planned.name, state, objective)

    def _end_group(self, name: str) -> None:
        """Tell the tracking of an arm that is complete; all other groups it is told of at the sweep's end."""
        if not name or name == WINNER or self._study.n_left_of(name):
            return
        results = self._study.results()
        self._events.end_group(results.group(name), results)

    def on_stop(self) -> None:
        """Have it said at once that the trials stop: the end takes some seconds."""
        self._screen.tell(STOPPING)

    def interrupt(self) -> None:
        """End all live trials as interrupted: a resumed sweep runs them again."""
        self._live.clear()
        self._study.interrupt_all()

    def _end_in_study(self, trial: LiveTrial, *, error: bool) -> tuple[str, dict[str, Any]]:
        number = trial.proposal.number
        values = objective_values(trial.errors, self._study.objectives) if trial.errors is not None else ()
        self._study.note(number, OfTrial.STAGES, {spec.stage: spec.key for spec in trial.plan})
        if trial.prune_reason:
            self._study.prune(number, trial.prune_reason)
            return "pruned", {Tag.STATE: "PRUNED", Tag.PRUNE_REASON: str(trial.prune_reason)}
        if values and all(map(math.isfinite, values)):
            self._study.note(number, OfTrial.ERRORS, trial.errors)
            self._study.complete(number, *values)
            return "complete", {Tag.STATE: "COMPLETE"}
        no_number = Reason("objective", text=", ".join(map(str, values)) or "missing")
        reason = trial.failure or (Reason("process") if error else no_number)
        self._study.fail(number, reason)
        return "failed", {Tag.STATE: "FAIL", Tag.FAIL_REASON: str(reason)}

    def _artifacts(self, trial: LiveTrial) -> tuple[Any, Any]:
        """Return the rankings and the fine-tuned filters of a trial that has them."""
        found = []
        for stage, name in (("rank", "ranking"), ("finetune", "filters")):
            key = trial.plan.key(stage)
            try:
                if key and self._store.look_at(key) is None:
                    self._store.look_anew(key)
                artifact = self._store.find(key) if key else None
                found.append(artifact.json(name) if artifact else None)
            except (CorruptArtifactError, StoreFaultError):
                found.append(None)
        return found[0], found[1]

    def _tags(self, trial: LiveTrial) -> dict[str, Any]:
        planned = trial.proposal.planned
        keys = {Tag.stage(spec.stage): spec.key for spec in trial.plan}
        budget = trial.plan.noisy_budget
        return {
            Tag.TRIAL_NUMBER: trial.proposal.number,
            Tag.PURPOSE: planned.purpose,
            Tag.GROUP: planned.group or planned.purpose,
            Tag.CONFIG_DIGEST: trial.config.digest,
            Tag.GIT_COMMIT: git_commit() or "unknown",
            **({Tag.LABELLED_NOISY: str(budget)} if budget is not None else {}),
            **keys,
        }

    def _travelling(self, trial_id: str, plan: TrialPlan) -> dict[str, Any]:
        return {
            "trial": trial_id,
            "broker": self._broker,
            "stages": [spec.to_json() for spec in plan],
            "judged": plan.judged.key,
            "step_bases": self._step_bases,
            "by_cells": self._study.by_cells,
        }


def _hosts(trial: LiveTrial) -> dict[str, str]:
    """Return the tags that say where each stage of a trial was computed, as far as it has said."""
    known = {stage: found.get("host") for stage, found in trial.stages.items()}
    return {Tag.host(stage): host for stage, host in known.items() if host}
