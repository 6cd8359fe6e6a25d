"""The stages of all trials: which of them share which, what that saved, and what the rest has cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.report.page.drawing import Drawing, Picture
from engine.report.page.stored_values import StoredValues
from engine.report.text_tables import Table
from engine.report.trial_results import TrialResult

_COLUMN, _TOP, _HEIGHT, _LEAST = 170.0, 30.0, 380.0, 1.5


@dataclass(frozen=True)
class StageCost:
    """What one kind of stage came to.

    Attributes:
        stage: its name.
        wanted: how often trials asked for one.
        distinct: how many different ones.
        seconds: that those took whose times are known.
        saved: seconds that would have gone into doing them again for each trial.
        n_timed: how many times are known.
    """

    stage: str
    wanted: int
    distinct: int
    seconds: float
    saved: float
    n_timed: int


def stage_costs(trials: Sequence[TrialResult], seconds: Mapping[str, float]) -> list[StageCost]:
    """Return what each kind of stage came to, in the order of trials' stages."""
    found = []
    for stage in stage_names(trials):
        users = Counter(trial.stages[stage] for trial in trials if stage in trial.stages)
        timed = {key: seconds[key] for key in users if key in seconds}
        saved = math.fsum((users[key] - 1) * took for key, took in timed.items())
        found.append(StageCost(stage, users.total(), len(users), math.fsum(timed.values()), saved, len(timed)))
    return found


def stage_names(trials: Iterable[TrialResult]) -> list[str]:
    """Return the names of all stages, each behind those that trials have before it."""
    names: list[str] = []
    for stages in sorted({tuple(trial.stages) for trial in trials}, key=len, reverse=True):
        place = 0
        for name in stages:
            if name in names:
                place = names.index(name) + 1
            else:
                names.insert(place, name)
                place += 1
    return names


def sharing_sentence(costs: Sequence[StageCost]) -> str:
    """Return in words what sharing saved."""
    wanted, distinct = sum(cost.wanted for cost in costs), sum(cost.distinct for cost in costs)
    words = f"trials asked for {wanted:,} stages; {distinct:,} of them differ"
    seconds, saved = math.fsum(cost.seconds for cost in costs), math.fsum(cost.saved for cost in costs)
    if seconds:
        words += (
            f": {seconds:,.0f} s of computing instead of {seconds + saved:,.0f} s "
            f"({saved / (seconds + saved):.0%} saved), by the times that are known"
        )
    return words


def costs_table(costs: Sequence[StageCost]) -> Table:
    """Return what each kind of stage came to."""
    rows = [
        (
            cost.stage,
            str(cost.wanted),
            str(cost.distinct),
            str(cost.n_timed),
            f"{cost.seconds:.1f}" if cost.n_timed else "–",
            f"{cost.seconds / cost.n_timed:.2f}" if cost.n_timed else "–",
            f"{cost.saved:.1f}" if cost.n_timed else "–",
        )
        for cost in costs
    ]
    columns = ("stage", "asked for", "different ones", "times known", "seconds", "mean (s)", "saved (s)")
    return Table("What stages cost, and what sharing them saved", columns, rows, align="lrrrrrr")


def stage_tree(trials: Sequence[TrialResult], stored: StoredValues) -> Picture:
    """Return the trials' stages, a column a kind: blocks as high as many trials share them, in the order of sharing."""
    names = stage_names(trials)
    paths = sorted(tuple(trial.stages.get(name, "") for name in names) for trial in trials if trial.stages)
    paths = _by_sharing(paths)
    scale = _HEIGHT / max(1, len(paths))
    drawing = Drawing(_COLUMN * len(names) + 10, _TOP + _HEIGHT + 6, "stages by how many trials share them")
    rows = []
    for column, name in enumerate(names):
        drawing.text(_COLUMN * column + 4, 18, name, "head", most=_COLUMN - 8)
        for key, first, count in _runs([path[column] for path in paths], least=_LEAST / scale):
            x, y, height = _COLUMN * column + 4, _TOP + first * scale, count * scale
            if key is None:
                drawing.box(
                    x, y, _COLUMN - 8, height, "lostbox", hint=f"{count} different {name} stages of one trial each"
                )
                if height > 14:
                    drawing.text(x + 6, y + min(height, 24) - 8, f"{count} of one trial each", "cell left")
                continue
            took = f", {stored.seconds[key]:.1f} s" if key in stored.seconds else ""
            hint = f"{name} {key}: {count} trial{'s' * (count > 1)}{took}"
            drawing.box(x, y, _COLUMN - 8, max(0.4, height - 0.6), "c0 fill" if count > 1 else "c0 pale", hint=hint)
            if height > 14:
                shown = f"{count} trial{'s' * (count > 1)}{took}"
                drawing.text(x + 6, y + min(height, 24) - 8, shown, "cell left on" if count > 1 else "cell left")
    for name in names:
        users = Counter(trial.stages[name] for trial in trials if name in trial.stages)
        for key, count in users.most_common():
            took = f"{stored.seconds[key]:.2f}" if key in stored.seconds else "–"
            rows.append((name, key[:12], str(count), took))
    return Picture(
        "Which trials share which stages",
        [drawing.svg()],
        Table("", ("stage", "key", "trials", "seconds"), rows, align="llrr"),
        "A row is a trial, read from left to right; a block is one stage, computed once for all trials that it is "
        "high. Pale: of one trial alone. Empty: trials without such a stage.",
        is_wide=True,
    )


def _by_sharing(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return trials' stages so that what is shared by most comes first, and who shares stands together."""
    counts = Counter((column, key) for path in paths for column, key in enumerate(path))
    return sorted(paths, key=lambda path: [(not key, -counts[column, key], key) for column, key in enumerate(path)])


def _runs(keys: Sequence[str], *, least: float) -> list[tuple[str | None, int, int]]:
    """Return (key, first row, rows) of equal keys below each other; None for several that are too thin.

    Args:
        keys: of a column, from above; "" where a trial has no such stage.
        least: rows that are high enough to be drawn by themselves.
    """
    runs: list[tuple[str | None, int, int]] = []
    for row, key in enumerate(keys):
        if runs and runs[-1][0] == key and key:
            runs[-1] = (key, runs[-1][1], runs[-1][2] + 1)
        elif key:
            runs.append((key, row, 1))
    merged: list[tuple[str | None, int, int]] = []
    for found, first, count in runs:
        before = merged[-1] if merged else None
        if count == 1 and least > 1 and before and before[1] + before[2] == first and before[0] is None:
            merged[-1] = (None, before[1], before[2] + 1)
        else:
            merged.append((None if count == 1 and least > 1 else found, first, count))
    return merged


def environments_table(stored: StoredValues) -> Table | None:
    """Return what the stages were made with, and where; None where no stage says."""
    shown = ("python", "torch", "numpy", "cuda", "machine", "host", "git_commit", "code")
    counts = Counter(tuple(str(made.get(name) or "–") for name in shown) for made in stored.made_on.values() if made)
    if not counts:
        return None
    rows = [
        (
            *(cell[:12] if name in ("git_commit", "code") else cell for name, cell in zip(shown, cells, strict=True)),
            str(n),
        )
        for cells, n in counts.most_common()
    ]
    return Table("What stages were made with", (*shown, "stages"), rows, align="l" * len(shown) + "r")
