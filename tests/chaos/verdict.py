"""What has to hold after the chaos."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.orchestration.tracking.tracker_kinds import is_group
from tests.chaos.monkey import Disturbed, Kill
from tests.chaos.recording import Attempt, read_attempts
from tests.chaos.sweeps import SweepFiles, computed_again


@dataclass(frozen=True)
class Starts:
    """How often a stage was started, and what explains that.

    Attributes:
        stage: its name and the beginning of its key.
        n_starts: how often.
        n_deaths: how often its worker, the broker or the driver was killed while it ran.
        n_stops: how often it was stopped, because nobody wanted it.
    """

    stage: str
    n_starts: int
    n_deaths: int
    n_stops: int

    @property
    def too_many(self) -> bool:
        return self.n_starts > 1 + self.n_deaths + self.n_stops


def count_starts(attempts: Sequence[Attempt], kills: Sequence[Kill]) -> list[Starts]:
    """Return the starts of every stage."""
    by_key: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_key.setdefault(attempt.key, []).append(attempt)
    return [
        Starts(
            stage=f"{own[0].stage} {key[:8]}",
            n_starts=len(own),
            n_deaths=sum(any(_hit(attempt, killed, kills) for attempt in own) for killed in kills),
            n_stops=sum(attempt.how == "stopped" for attempt in own),
        )
        for key, own in by_key.items()
    ]


def _hit(attempt: Attempt, killed: Kill, kills: Sequence[Kill]) -> bool:
    """Return whether a kill met a stage while it ran: its worker, or the broker or driver that it ran for."""
    death = min((other.time for other in kills if _ends(attempt, other)), default=math.inf)
    if killed.kind == "broker":
        return attempt.started <= killed.time <= min(death, attempt.ended or math.inf)
    return _ends(attempt, killed) and killed.time == death


def _ends(attempt: Attempt, killed: Kill) -> bool:
    """Return whether a kill ends the process that a stage runs in, unless that ended before."""
    if killed.time > (attempt.ended or math.inf):
        return False
    if killed.kind == "driver":  # a worker may start a stage before it, too, is gone
        return attempt.process in killed.below
    return killed.kind == "worker" and killed.process == attempt.process and killed.time >= attempt.started


def faults_of_starts(files: SweepFiles, kills: Sequence[Kill]) -> list[str]:
    """Return the stages that were started more often than deaths explain."""
    return [f"started too often: {starts}" for starts in count_starts(_attempts(files), kills) if starts.too_many]


def faults_of_tracking(files: SweepFiles) -> list[str]:
    """Return the slots that MLflow has not exactly one finished run of."""
    tracked, expected = files.tracked(), {*files.trials(), "sweep"}
    tracked = {slot: runs for slot, runs in tracked.items() if "proposed anew" not in slot}
    faults = [f"MLflow has {runs} of {slot}" for slot, runs in tracked.items() if runs != ["FINISHED"]]
    known = {slot for slot in tracked if not is_group(slot)}
    return faults + [f"MLflow knows other slots: {sorted(expected ^ known)}"] * (known != expected)


def faults_against(files: SweepFiles, undisturbed: SweepFiles) -> list[str]:
    """Return where a disturbed sweep differs from an undisturbed one: trials, numbers, artifacts."""
    faults = []
    trials, expected = files.trials(), undisturbed.trials()
    if set(trials) != set(expected):
        faults.append(f"other slots: {sorted(set(trials) ^ set(expected))}")
    for slot in sorted(set(trials) & set(expected)):
        for name, value in expected[slot].items():
            if trials[slot][name] != value:
                faults.append(f"{slot}: {name} is {trials[slot][name]}, undisturbed {value}")
    sums, expected_sums = files.checksums(), undisturbed.checksums()
    if sums != expected_sums:
        other = sorted(key for key in {*sums, *expected_sums} if sums.get(key) != expected_sums.get(key))
        faults.append(f"{len(other)} artifacts differ: {other}")
    return faults


def faults_alone(files: SweepFiles) -> list[str]:
    """Return where a sweep has not the number of trials it was to have, or a result is not its configuration's."""
    trials = files.trials()
    faults = [f"{len(trials)} trials instead of {files.n_trials}"] * (len(trials) != files.n_trials)
    for slot, trial in trials.items():
        if trial["state"] not in ("COMPLETE", "PRUNED"):
            faults.append(f"{slot} is {trial['state']}: {trial['reason']}")
    again = computed_again(files)
    return faults + [f"{slot}: computed again it differs" for slot in again if again[slot] != trials[slot]["errors"]]


def describe(files: SweepFiles, disturbed: Disturbed) -> str:
    """Return a few lines on what was done and what came of it."""
    starts = count_starts(_attempts(files), disturbed.kills)
    kills = ", ".join(f"{count} {kind}" for kind, count in sorted(disturbed.count().items()))
    states = ", ".join(f"{n} {state}" for state, n in Counter(t["state"] for t in files.trials().values()).items())
    again = [one for one in starts if one.n_starts > 1]
    return "\n".join(
        [
            f"{len(disturbed.kills)} kills in {disturbed.seconds:.0f} s ({kills}), "
            f"then {disturbed.finished_s:.0f} s to the end",
            f"{len(files.trials())} trials of {files.n_trials}: {states}",
            f"{len(starts)} stages, {sum(one.n_starts for one in starts)} starts; {len(again)} were started more than "
            f"once, at most {max(one.n_starts for one in starts)} times; {sum(one.n_stops for one in starts)} stops; "
            f"{sum(one.too_many for one in starts)} started more often than 1 + deaths",
            f"{len(disturbed.left_over)} processes of killed drivers outlived the sweep"
            + "".join(f"; {process.title[:100]}" for process in disturbed.left_over),
        ]
    )


def _attempts(files: SweepFiles) -> list[Attempt]:
    return read_attempts(files.folder)
