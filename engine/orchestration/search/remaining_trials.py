"""What a study has still to run, by what it says alone."""

from __future__ import annotations

from dataclasses import dataclass

from engine.orchestration.search.planned_trials import PlannedTrial, PlannedTrials
from engine.report.results import Results


@dataclass(frozen=True)
class RemainingTrials:
    """What a study has still to run.

    Attributes:
        trials: the arms' and proposals' that are left.
        n_done: how many of the planned trials are done.
        n_winner: how many of the winner's repeats are left; the most that may be, while the winner is not known.
        winner: the trials of these repeats; None while the winner is not known.
        n_beyond: how many more the study has done, for a run of more trials.
    """

    trials: tuple[PlannedTrial, ...]
    n_done: int
    n_winner: int
    winner: tuple[PlannedTrial, ...] | None = None
    n_beyond: int = 0

    @property
    def n_left(self) -> int:
        """Return how many trials are left, at most."""
        return len(self.trials) + self.n_winner

    @property
    def all_done(self) -> str:
        """Return that all trials are done, in words; where the study has more, that it is those that are asked for."""
        if self.n_beyond:
            return f"the {self.n_done} trials that are asked for are done, and {self.n_beyond} more of a longer run"
        return f"all {self.n_done} trials are done"

    def count(self, purpose: str) -> int:
        """Return how many arms' trials ("arm") or proposals ("proposal") are left."""
        return sum(trial.purpose == purpose for trial in self.trials)


def remaining_trials(planned: PlannedTrials, results: Results | None, *, retry_failed: bool = False) -> RemainingTrials:
    """Return what a study has still to run.

    Args:
        planned: which trials there are.
        results: what the study says; None for one that is not begun. A trial that machines, store or network ended is
            still to be run.
        retry_failed: whether those are too that failed by themselves.
    """
    ended = results.trials if results is not None else ()
    done = {trial.slot for trial in ended if trial.is_result and not (retry_failed and trial.state == "FAIL")}
    trials = tuple(planned.left(done))
    n_done = planned.n_arm_trials + planned.n_proposals - len(trials)
    asked = {trial.name for trial in (*planned.arms(), *planned.proposals())}
    beyond = ("arm/", "proposal/") if planned.n_winner_trials else ("arm/", "proposal/", "winner/")
    n_beyond = sum(slot.startswith(beyond) for slot in done - asked)  # repeats of a displaced winner are of no run
    if results is None or any(trial.purpose == "proposal" for trial in trials) or not planned.n_winner_trials:
        return RemainingTrials(trials, n_done, planned.n_winner_trials, n_beyond=n_beyond)
    best = results.best()
    repeats = () if best is None else tuple(planned.winner(best.settings))
    left = tuple(trial for trial in repeats if trial.name not in done)
    return RemainingTrials(trials, n_done + len(repeats) - len(left), len(left), left, n_beyond)
