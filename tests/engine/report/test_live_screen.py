import pytest
from rich.console import Console

from engine.report.live_screen import LiveScreen

COUNTS = {"run": 3, "run_seconds": 9.0, "shared": 1, "from_store": 0, "saved_seconds": 2.0, "running": 2, "workers": 2}


@pytest.mark.parametrize(("n_elsewhere", "said"), [(0, ""), (2, ", 2 being computed by other sweeps")])
def test_that_other_sweeps_compute_what_this_one_waits_for_is_said(n_elsewhere: int, said: str) -> None:
    screen = LiveScreen(Console(quiet=True), n_total=8)
    screen._last = {**COUNTS, "queued": 0, "elsewhere": n_elsewhere}
    assert f"stages: 3 run, 1 shared, 0 from the store{said} | " in screen.line()
    with (console := Console(width=200)).capture() as captured:
        console.print(screen._screen())
    assert f"2 running on 2 workers, 0 waiting{said}" in captured.get()
