"""Write what a tracking server did not take while sweeps ran: ``python -m pipelines.sync``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from engine import variables
from engine.errors import InputError
from engine.extensions import import_modules
from engine.orchestration.tracking import TrackerRequest, check_tracker
from engine.orchestration.tracking.mlflow_database import tracking_uri
from engine.orchestration.tracking.mlflow_tracker import NAME
from engine.orchestration.tracking.replay import replay
from engine.redaction import hide_credentials
from pipelines._command_line import run


@dataclass
class SyncOptions:
    """Write the tracking events that wait in HOME/tracking to MLflow or another tracker, as after an outage.

    Example: python -m pipelines.sync --tracking-uri http://127.0.0.1:5000
    """

    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """Folder of the sweeps."""
    tracker: Annotated[str, tyro.conf.arg(metavar="NAME")] = NAME
    """The tracker that the sweeps had; the events of sweeps that had another one are passed over."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = ()
    """Modules of yours that register it."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = variables.or_variable(variables.TRACKING)
    """Where that is, as it was given to the sweep; for MLflow sqlite in HOME if not given."""


def main(options: SyncOptions) -> int:
    """Write the events and print how many of which study; return 1 if some of this tracker still wait."""
    if not (options.home / "tracking").is_dir():
        raise InputError(f"no sweep has left tracking events in {options.home / 'tracking'}")
    import_modules(options.imports)
    uri = options.tracking_uri
    if options.tracker != NAME and variables.source_of(options, "tracking_uri"):
        uri = None  # MLflow's own variable is for no other tracker
    check_tracker(options.tracker, TrackerRequest("", options.home, uri))
    where = tracking_uri(options.home, uri) if options.tracker == NAME else uri or options.tracker
    where = hide_credentials(where)
    n_studies = n_waiting = 0
    for result in replay(options.home, options.tracker, uri):
        n_studies += 1
        if result.owner is not None:
            command = result.owner.command(options.home)
            passed_over = f"{result.n_waiting} events passed over ({result.reason}); write them with: {command}"
            print(f"study {result.study}: {passed_over}", file=sys.stderr)
            continue
        n_waiting += result.n_waiting
        if result.n_written:
            print(f"study {result.study}: {result.n_written} events written to {where}")
        if result.n_waiting:
            print(f"study {result.study}: {result.n_waiting} events wait ({result.reason})", file=sys.stderr)
    if not n_studies:
        print(f"no events wait in {options.home / 'tracking'}")
    return 1 if n_waiting else 0


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(SyncOptions, main, program="sync", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
