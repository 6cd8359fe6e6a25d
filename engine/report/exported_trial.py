"""Which trial's network a study gives away: by validation images alone, so that its test errors mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputError, unknown_name
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.spaces.space import WINNER

WAYS = "winner, arm:NAME or trial:N"
N_NAMED = 8
"""How many trials an error names."""


@dataclass(frozen=True)
class ExportedTrial:
    """A complete trial whose network is wanted.

    Attributes:
        trial: itself.
        reason: why it is this one, in a sentence.
        notes: what else a person should know of it, a sentence each.
    """

    trial: TrialResult
    reason: str
    notes: tuple[str, ...] = ()


def exported_trial(results: Results, what: str) -> ExportedTrial:
    """Return the trial that a person means.

    Of several seeds of an arm, or of the winner, it is the one with the median objective, the mean error on corrupted
    validation images; of an even number the better of the two in the middle, and of equal ones the first. Test images
    have no say, and a network that is dead is not passed over: who is told the errors of the median would else be
    given a better one.

    Args:
        results: of the study.
        what: "winner", "arm:NAME" or "trial:N". Without repeats of the best proposal, that one is the winner.

    Raises:
        InputError: something else, or what no complete trial is of.
    """
    if not results.with_state("COMPLETE"):
        raise InputError(f"study {results.study!r} has no complete trial: there is no network to export")
    kind, colon, name = what.partition(":")
    if what == WINNER:
        chosen = _winner(results)
    elif kind == "arm" and colon:
        chosen = _of_arm(results, name)
    elif kind == "trial" and colon:
        chosen = _numbered(results, name)
    else:
        arms = [arm.name for arm in results.space.arms]
        hint = f" (did you mean 'arm:{what}'?)" if what in arms else f" (did you mean 'trial:{what}'?)"
        raise InputError(
            f"what is exported must be {WAYS}, got {what!r}{hint if what in arms or what.isdecimal() else ''}"
        )
    notes = list(chosen.notes)
    if results.is_running:
        notes.append(f"study {results.study!r} is still running: what its winner or a median is may change")
    if chosen.trial.dead:
        notes.append("its network is dead: it answers (nearly) every image alike")
    return ExportedTrial(chosen.trial, chosen.reason, tuple(notes))


def _winner(results: Results) -> ExportedTrial:
    best = results.best()
    if best is None:
        arms = ", ".join(f"arm:{group.name}" for group in results.groups() if group.trials)
        raise InputError(
            f"study {results.study!r} has no complete proposal, so no winner; what is exported can be {arms}"
        )
    repeats = [trial for group in results.groups() if group.name == WINNER for trial in group.trials]
    if repeats:
        return _median(f"repeats of the best proposal, trial {best.number}", repeats, results.space.n_seeds)
    note = f"study {results.study!r} has no repeats of its best proposal: this is the proposal itself"
    return ExportedTrial(best, f"the best proposal by {_objective(best)}, on the search's own seed", (note,))


def _of_arm(results: Results, name: str) -> ExportedTrial:
    groups = {group.name: group for group in results.groups() if group.name != WINNER}
    if name not in groups:
        raise unknown_name("arm", name, groups)
    if not groups[name].trials:
        raise InputError(
            f"arm {name!r} of study {results.study!r} has no complete trial: there is no network to export"
        )
    return _median(f"seeds of arm {name!r}", groups[name].trials, results.space.n_seeds)


def _numbered(results: Results, text: str) -> ExportedTrial:
    complete = {trial.number: trial for trial in results.with_state("COMPLETE")}
    if not text.isdecimal():
        raise InputError(f"a trial is named by its number, such as trial:{min(complete)}, got 'trial:{text}'")
    number = int(text)
    if number in complete:
        return ExportedTrial(complete[number], f"as asked for; {_objective(complete[number])}")
    near = sorted(sorted(complete, key=lambda other: abs(other - number))[:N_NAMED])
    nearest = f"the nearest of {len(complete)} complete trial{'s' * (len(complete) > 1)}: {', '.join(map(str, near))}"
    ended = next((trial for trial in results.trials if trial.number == number), None)
    if ended is None:
        raise InputError(f"study {results.study!r} has no ended trial {number}; {nearest}")
    raise InputError(
        f"trial {number} of study {results.study!r} has no errors to go with it ({ended.state}); {nearest}"
    )


def _median(of: str, trials: Sequence[TrialResult], n_seeds: int) -> ExportedTrial:
    """Return the trial in the middle by the objective; the first of equal ones."""
    ordered = sorted(trials, key=lambda trial: trial.objective or 0.0)
    middle = ordered[(len(ordered) - 1) // 2]
    count = f"{len(trials)} {of}" if len(trials) >= n_seeds else f"the {len(trials)} complete of {n_seeds} {of}"
    if len(trials) == 1:
        return ExportedTrial(middle, f"the only complete one of {n_seeds} {of}; {_objective(middle)}")
    return ExportedTrial(middle, f"the median of {count}, by {_objective(middle)}")


def _objective(trial: TrialResult) -> str:
    assert trial.objective is not None
    return f"its error on corrupted validation images, {trial.objective:.2%}"
