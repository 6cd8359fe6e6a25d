"""What a study has still to run, by what it says alone."""

from __future__ import annotations

from dataclasses import dataclass

from engine.orchestration.agenda import Agenda, Slot
from engine.report.results import Results


@dataclass(frozen=True)
class Rest:
    """What a study has still to run.

    Attributes:
        slots: the arms' and proposals' that are not filled.
        n_done: how many slots of the agenda are filled.
        n_winner: how many of the winner's repeats are left; the most that may be, while the winner is not known.
        winner: the slots of these repeats; None while the winner is not known.
    """

    slots: tuple[Slot, ...]
    n_done: int
    n_winner: int
    winner: tuple[Slot, ...] | None = None

    @property
    def n_left(self) -> int:
        """Return how many trials are left, at most."""
        return len(self.slots) + self.n_winner

    def count(self, purpose: str) -> int:
        """Return how many arms' trials ("arm") or proposals ("proposal") are left."""
        return sum(slot.purpose == purpose for slot in self.slots)


def rest_of(agenda: Agenda, results: Results | None) -> Rest:
    """Return what a study has still to run; ``results`` is None for one that is not begun."""
    done = {trial.slot for trial in results.trials} if results is not None else set()
    slots = tuple(agenda.left(done))
    n_done = agenda.n_arm_trials + agenda.n_proposals - len(slots)
    if results is None or any(slot.purpose == "proposal" for slot in slots) or not agenda.n_winner_trials:
        return Rest(slots, n_done, agenda.n_winner_trials)
    best = results.best()
    repeats = () if best is None else tuple(agenda.winner(best.settings))
    left = tuple(slot for slot in repeats if slot.name not in done)
    return Rest(slots, n_done + len(repeats) - len(left), len(left), left)
