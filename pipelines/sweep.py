"""The main job: ``python -m pipelines.sweep``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from engine.leaving import leaving_with, prepare_to_leave

if __name__ == "__main__":
    prepare_to_leave()

from engine.orchestration.options import SweepOptions
from engine.report.terminal import make_console
from engine.signs_of_life import doing
from pipelines._command_line import INTERRUPTED, run

NOTHING_COMPLETE = 1
"""The exit code of a sweep of which no trial has a result."""
SOME_UNKNOWN = 1
"""The exit code of a sweep some of whose trials the machines, the store or the network have ended."""


def main(options: SweepOptions) -> int:
    """List, dry-run or run a sweep; return the exit code."""
    console = make_console()
    if options.list is not None:
        from pipelines._lists import print_lists

        print_lists(console, options)
        return 0
    from engine.orchestration.machines import begin_private_ray
    from engine.orchestration.preparation import prepare
    from engine.orchestration.sweep import Sweep

    # Who only calls this function goes on living, and so would Ray, if the input is wrong.
    begun = begin_private_ray(options) if __name__ == "__main__" else None
    with doing("what is asked for is being checked"):
        prepared = prepare(options)
    if options.dry_run:
        from engine.orchestration.dry_run import print_dry_run

        print_dry_run(console, prepared)
        return 0
    sweep = Sweep(prepared, console, begun)
    results = sweep.run()
    if sweep.fault:
        return 1
    if not sweep.complete:
        return INTERRUPTED
    if not all(trial.is_result for trial in results.trials):
        return SOME_UNKNOWN
    return 0 if results.with_state("COMPLETE") else NOTHING_COMPLETE


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(SweepOptions, main, program="sweep", arguments=arguments)


if __name__ == "__main__":
    sys.exit(leaving_with(command_line()))
