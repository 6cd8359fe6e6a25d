"""What the studies share: a finished sweep's trials by arm and seed, and numbers as text."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import InputError
from engine.metrics import PairedDifference, paired_difference
from engine.orchestration import load_results
from engine.report.comparisons import format_difference
from engine.report.results import Results
from engine.report.text_tables import percent_text
from engine.report.trial_results import TrialResult
from engine.stages import find_whole
from engine.store import Artifact, Store, open_store

BySeed = Mapping[int, float]
"""{seed: a number}."""


def parser(about: str) -> argparse.ArgumentParser:
    """Return the arguments that every study has: which sweep, and where it is."""
    arguments = argparse.ArgumentParser(description=about)
    arguments.add_argument("--study", required=True, help="the sweep's study, as it printed")
    arguments.add_argument("--home", type=Path, default=Path("runs"), help="the sweep's folder")
    arguments.add_argument("--store", type=Path, help="its store, if not HOME/store")
    return arguments


def load(given: argparse.Namespace, *spaces: str) -> tuple[Results, Store]:
    """Return a sweep's results and its store.

    Raises:
        InputError: there is no such study, it explores another space, or it has no finished trial.
    """
    results = load_results(given.study, home=given.home)
    if results.space.name not in spaces:
        raise InputError(
            f"study {given.study!r} explores the space {results.space.name!r}, not {' or '.join(map(repr, spaces))}"
        )
    if not trials_by_arm(results):
        raise InputError(f"study {given.study!r} has no finished trial of an arm")
    for line in fewer_seeds(results):
        print(line)
    return results, open_store(given.store or given.home / "store", read_only=True)


def fewer_seeds(results: Results) -> list[str]:
    """Return which arms' means are over fewer seeds than there are, or have a dead network in them."""
    counts = [f"{group.name} {group.count}" for group in results.groups() if group.n_incomplete or group.dead]
    return [f"seeds: {', '.join(counts)}; all others are complete"] if counts else []


def trials_by_arm(results: Results) -> dict[str, dict[int, TrialResult]]:
    """Return {arm: {seed: its complete trial}}, in the arms' order, of those that have one."""
    return {group.name: {trial.seed: trial for trial in group.trials} for group in results.groups() if group.trials}


def artifact_of(trial: TrialResult, stage: str, store: Store) -> Artifact:
    """Return what a trial's stage made; raises ``InputError`` where the store has it no more."""
    artifact = find_whole(store, trial.stages[stage])
    if artifact is None:
        raise InputError(f"the store {store.address} has no {stage} of trial {trial.number}: it was cleaned up")
    return artifact


def mean_and_std(values: BySeed) -> str:
    """Return "12.3 ±4.5" in percent; one seed has no deviation."""
    return percent_text(list(values.values()))


def difference(mine: BySeed, theirs: BySeed) -> PairedDifference | None:
    """Return mine − theirs, paired by seed; None without a common seed."""
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return None
    return paired_difference([mine[seed] for seed in seeds], [theirs[seed] for seed in seeds])


def difference_text(mine: BySeed, theirs: BySeed) -> str:
    """Return "−12.3 [−20.1, −4.5] *" in percentage points: mean, 95 % t interval, a star where it excludes 0."""
    found = difference(mine, theirs)
    text = format_difference(found)
    return f"{text} *" if found is not None and (found.low > 0 or found.high < 0) else text


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns side by side, the first to the left and the others to the right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    print(f"\n{title}")
    for row in (header, *rows):
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print("  ".join((row[0].ljust(widths[0]), *others)).rstrip())
