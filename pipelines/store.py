"""What is in a store: ``python -m pipelines.store list | verify | prune | copy``."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from tyro.conf import Positional

from engine import variables
from engine.data.progress import counted
from engine.errors import InputError
from engine.report.terminal import make_console, progress_bar, say
from engine.report.text_tables import Table
from engine.stages.families import remember
from engine.stages.spec import StageSpec
from engine.store import CorruptArtifactError, open_store
from engine.store.cleaning import Cleaned, Entry, clean, describe_bytes, entries
from engine.store.copying import copy_artifacts
from engine.store.places import place_of
from pipelines._command_line import run
from pipelines._progress import waiting

_GB = 1e9


@dataclass(frozen=True)
class _Where:
    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """Folder of the sweeps."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where the store is, if not HOME/store: a folder, or s3://BUCKET/PREFIX, gs://… or az://…"""

    @property
    def place(self) -> str:
        """Return where the store is."""
        return place_of(self.store or self.home / "store", "--store")


@dataclass(frozen=True)
class ListOptions(_Where):
    """List the artifacts: stage, key, size, age, last use, seconds that they took."""


@dataclass(frozen=True)
class VerifyOptions(_Where):
    """Check every file of every artifact; corrupt ones are named, and the exit code is 1 if there are any."""

    quarantine: bool = False
    """Move corrupt artifacts aside; their stages will be computed again."""


@dataclass(frozen=True, kw_only=True)
class PruneOptions(_Where):
    """Remove what is broken or left over, then, down to a size, what nobody wanted, then what was not used for longest.

    What a live sweep may need stays, and so does what an artifact that stays was made from.
    """

    max_gb: Annotated[float, tyro.conf.arg(metavar="X")]
    """Size that the store may keep, in gigabytes (10⁹ bytes)."""
    dry_run: bool = False
    """Only say what would be removed."""


@dataclass(frozen=True)
class CopyOptions:
    """Copy all artifacts from one store to another, so that sweeps there find what was computed here.

    What is there is passed over: a copy that was interrupted goes on when the command is given again. Corrupt artifacts
    are named and left out, and the exit code is 1 if there are any.

    Example: python -m pipelines.store copy runs/store s3://BUCKET/PREFIX
    """

    source: Annotated[Positional[Path], tyro.conf.arg(metavar="FROM")]
    """The store that is read: a folder, or s3://BUCKET/PREFIX, gs://… or az://…"""
    target: Annotated[Positional[Path], tyro.conf.arg(metavar="TO")]
    """The store that they go to; a folder is made."""


@dataclass(frozen=True)
class StoreOptions:
    """Look at, check, clean up or copy the store of finished stages."""

    command: (
        Annotated[ListOptions, tyro.conf.subcommand("list")]
        | Annotated[VerifyOptions, tyro.conf.subcommand("verify")]
        | Annotated[PruneOptions, tyro.conf.subcommand("prune")]
        | Annotated[CopyOptions, tyro.conf.subcommand("copy")]
    )


def main(options: StoreOptions) -> int:
    """Do what the subcommand says; return the exit code."""
    command = options.command
    console = make_console()
    if isinstance(command, PruneOptions):
        return prune(console, command)
    if isinstance(command, VerifyOptions):
        return verify(console, command)
    if isinstance(command, CopyOptions):
        return copy(console, command)
    print_list(console, entries(open_store(command.place, read_only=True)))
    return 0


def print_list(console: Console, found: list[Entry]) -> None:
    """Print the artifacts, the most recently used first, and what they come to."""
    now = time.time()
    rows = []
    for entry in reversed(found):
        stage = entry.stage if entry.whole else "unreadable"
        age, used = (_duration(now - moment) for moment in (entry.finished_at, entry.used_at))
        rows.append((stage, entry.key[:12], describe_bytes(entry.n_bytes), age, used, f"{entry.seconds:.1f}"))
    say(console, Table("", ("stage", "key", "size", "age", "last use", "seconds"), rows, align="llrrrr"))
    counts = Counter(entry.stage or "unreadable" for entry in found)
    stages = ", ".join(f"{count} {stage}" for stage, count in sorted(counts.items()))
    say(
        console,
        f"{len(found)} artifacts ({stages or 'none'}): {describe_bytes(sum(entry.n_bytes for entry in found))}, "
        f"{sum(entry.seconds for entry in found):.0f} s of computing",
    )


def verify(console: Console, options: VerifyOptions) -> int:
    """Check every artifact; return 1 if one is corrupt."""
    store = open_store(options.place, read_only=True)  # refuses what is not there, and makes nothing
    store = open_store(options.place) if options.quarantine else store
    n_whole = n_corrupt = 0
    found = entries(store)
    for entry in counted(found, len(found), "checking artifacts"):
        try:
            store.check(entry.key)
            n_whole += 1
        except CorruptArtifactError as error:
            n_corrupt += 1
            say(console, f"corrupt: {entry.stage} {error}")
            if options.quarantine:
                store.quarantine(entry.key)
    aside = " (moved to the store's quarantine)" if n_corrupt and options.quarantine else ""
    say(console, f"{n_whole} artifacts are whole, {n_corrupt} corrupt{aside}")
    return 1 if n_corrupt else 0


def prune(console: Console, options: PruneOptions) -> int:
    """Clean the store up; print what that freed."""
    if not 0 <= options.max_gb < math.inf:
        raise InputError(f"--max-gb must be ≥ 0, got {options.max_gb}")
    open_store(options.place, read_only=True)  # refuses what is not there, and makes nothing
    with waiting(console, "cleaning up"):
        done = clean(open_store(options.place), int(options.max_gb * _GB), dry_run=options.dry_run)
    say(console, describe_cleaned(done, dry_run=options.dry_run))
    if done.left_bytes > options.max_gb * _GB:
        live = f" for the live sweeps {', '.join(done.sweeps)}" if done.sweeps else ""
        say(console, f"more than {options.max_gb:g} GB stays: {done.n_kept} artifacts are kept{live}")
    return 0


def copy(console: Console, options: CopyOptions) -> int:
    """Copy all artifacts to another store; print what that came to, and return 1 if some were left out."""
    places = place_of(options.source, "FROM"), place_of(options.target, "TO")
    if places[0] == places[1]:
        raise InputError(f"FROM and TO must be two stores, got {places[0]} twice")
    source, target = open_store(places[0], read_only=True), open_store(places[1])

    def arrived(manifest: Mapping[str, Any]) -> None:
        with contextlib.suppress(TypeError):  # a data set, or weights, which no stage made
            remember(target, StageSpec.from_json(manifest["spec"]))

    with progress_bar(console, transient=True) as bar:
        task = bar.add_task("artifacts", total=None)
        done = copy_artifacts(
            source, target, arrived=arrived, progress=lambda n, total: bar.update(task, completed=n, total=total)
        )
    say(console, *(f"left out: {fault}" for fault in done.faults))
    left_out = f", {len(done.faults)} left out" if done.faults else ""
    say(
        console,
        f"{done.n_copied} artifacts ({describe_bytes(done.n_bytes)}) copied from {source.address} to {target.address}, "
        f"{done.n_there} were there{left_out}",
    )
    return 1 if done.faults else 0


def describe_cleaned(done: Cleaned, *, dry_run: bool) -> str:
    """Return a sentence on what a clean-up freed."""
    stages = Counter(entry.stage for entry in done.artifacts)
    kinds = Counter(path.partition("/")[0] for path in done.leftovers)
    names = {
        "artifacts": "unreadable",
        "attempts": "dead attempts",
        "files": "dead attempts",
        "checkpoints": "stages that were not finished",
        "leases": "leases of the dead",
    }
    parts = [f"{count} {stage}" for stage, count in sorted(stages.items())]
    parts += [f"{count} {names.get(kind, 'in quarantine')}" for kind, count in sorted(kinds.items())]
    verb = "would free" if dry_run else "freed"
    freed, left = describe_bytes(done.freed_bytes), describe_bytes(done.left_bytes)
    return f"{verb} {freed} ({', '.join(parts) or 'nothing'}); {left} stay"


def _duration(seconds: float) -> str:
    for n_seconds, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= n_seconds:
            return f"{seconds / n_seconds:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(StoreOptions, main, program="store", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
