"""Whatever optuna-dashboard's part of a study says, a sweep goes on."""

import io

from rich.console import Console

from engine.orchestration.databases.refusals import Refusals
from engine.orchestration.sweep import Sweep


def test_a_failure_to_write_for_the_dashboard_harms_no_sweep() -> None:
    sweep = Sweep.__new__(Sweep)
    printed = io.StringIO()
    sweep._refusals, sweep.console = Refusals(), Console(file=printed, width=200)

    def fail() -> None:
        raise RuntimeError("no room at postgresql://me:hunter2@host/x\nsecond line")

    sweep._on_dashboard(fail)
    assert sweep.fault == ""
    said = "optuna-dashboard shows notes and figures as they were before (RuntimeError: no room at postgresql://***@host/x)"
    assert printed.getvalue().strip() == said
    sweep._refusals.fault = "the disk is full"
    sweep._on_dashboard(lambda: 1 / 0)
