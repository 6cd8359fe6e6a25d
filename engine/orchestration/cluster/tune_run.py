"""Ray Tune's side of a sweep: a searcher and a scheduler that only pass on to who handles its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from engine.orchestration.cluster.interruption import say_first
from engine.orchestration.cluster.light_trial import walk_trial
from engine.orchestration.cluster.ray_internals import (
    many_pending_trials,
    searcher_state,
    silence_experiment_notes,
    trials_managed_by,
)
from engine.orchestration.cluster.shared_names import REPORT
from engine.orchestration.cluster.trials_here import TrialsHere

MAX_FAULTS = 3
"""How often a trial's way through its stages may break off: it is begun anew and finds its stages where they are."""


class TrialHandler(Protocol):
    """What the Tune side needs: who gives out trials and hears of them (``TrialFlow``)."""

    @property
    def finished(self) -> bool:
        """Return whether no trial is left to start."""

    def next_trial(self, trial_id: str) -> dict[str, Any] | None:
        """Return a trial's configuration, or None while there is none to start."""

    def on_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take a report; return whether the trial should stop."""

    def on_end(self, trial_id: str, *, error: bool) -> None:
        """End a trial."""

    def on_stop(self) -> None:
        """Hear that the trials are to stop, by Ctrl-C say; from within a signal's handler."""


class StudySearcher(Searcher):
    """A searcher whose trials come from the handler; the study on disk is its state, so it saves nothing.

    By its first trial Tune handles Ctrl-C, and says so where nobody looks: from then on the handler hears of it first.
    (A callback of Tune's could do that, but of whoever has one Tune imports MLflow, comet and wandb to count them.)
    """

    def __init__(self, handler: TrialHandler) -> None:
        super().__init__()
        self._handler = handler
        self._hears_of_stops = False

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec: Any) -> bool:
        """Accept that there is no metric for Tune to know: the study compares."""
        return True

    def __getstate__(self) -> dict[str, Any]:
        return searcher_state(self)  # what Tune pickles has no use for a handler

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, None to wait, or that there are no more."""
        if not self._hears_of_stops:
            self._hears_of_stops = True
            say_first(self._handler.on_stop)
        config = self._handler.next_trial(trial_id)
        if config is None and self._handler.finished:
            return Searcher.FINISHED
        return config

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Pass on that a trial has ended."""
        self._handler.on_end(trial_id, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Leave a note: the study is the state."""
        Path(checkpoint_path).write_text("the state is in the Optuna study\n")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study is the state."""


class PruningScheduler(FIFOScheduler):
    """A scheduler that stops the trials which the study's pruner gives up."""

    def __init__(self, handler: TrialHandler) -> None:
        super().__init__()
        self._handler = handler

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Pass on a report; return STOP or CONTINUE."""
        stop = any(self._handler.on_result(trial.trial_id, report) for report in result.get(REPORT, []))
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE


def run_trials(handler: TrialHandler, *, n_trials: int, folder: Path, name: str) -> None:
    """Run trials until the handler has none left.

    Args:
        handler: gives and hears the trials.
        n_trials: how many there are at most.
        folder: where Tune keeps its own notes.
        name: of the experiment.
    """
    tuner = tune.Tuner(
        _trial,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(handler),
            scheduler=PruningScheduler(handler),
            num_samples=n_trials,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folder.absolute()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_FAULTS),
        ),
    )
    silence_experiment_notes()
    trials = TrialsHere(walk_trial)
    try:
        with many_pending_trials(n_trials), trials_managed_by(trials):
            tuner.fit()
    finally:
        trials.close()


def _trial(config: dict[str, Any]) -> None:
    """Stand for a trial in Tune's books: what it does is ``walk_trial``, in this process."""
    raise NotImplementedError
