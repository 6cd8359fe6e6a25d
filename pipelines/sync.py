"""Write what a tracking server did not take while sweeps ran: ``python -m pipelines.sync``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from engine.errors import InputError
from engine.orchestration.options import SweepOptions
from engine.orchestration.tracking import check_tracking
from engine.orchestration.tracking.replay import replay
from engine.redaction import hide_credentials
from pipelines._command_line import run


@dataclass
class SyncOptions:
    """Write the tracking events that wait in HOME/tracking to MLflow, as after an outage of its server.

    Example: python -m pipelines.sync --tracking-uri http://127.0.0.1:5000
    """

    home: Path = Path("runs")
    """Folder of the sweeps."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """MLflow tracking URI, as it was given to the sweep; sqlite in HOME if not given."""


def main(options: SyncOptions) -> int:
    """Write the events and print how many of which study; return 1 if some still wait."""
    if not (options.home / "tracking").is_dir():
        raise InputError(f"no sweep has left tracking events in {options.home / 'tracking'}")
    sweep = SweepOptions(home=options.home, tracking_uri=options.tracking_uri)
    check_tracking(sweep.tracking_url, sweep.artifact_folder)
    where = hide_credentials(sweep.tracking_url)
    n_studies = n_waiting = 0
    for result in replay(options.home, sweep.tracking_url, artifacts=sweep.artifact_folder):
        n_studies += 1
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
