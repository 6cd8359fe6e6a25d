import io

import pytest
from rich.console import Console

from engine.report.live_screen import LiveScreen, machines_line

COUNTS = {"run": 3, "run_seconds": 9.0, "shared": 1, "from_store": 0, "saved_seconds": 2.0, "running": 2, "workers": 2}


@pytest.mark.parametrize(("n_elsewhere", "said"), [(0, ""), (2, ", 2 being computed by other sweeps")])
def test_that_other_sweeps_compute_what_this_one_waits_for_is_said(n_elsewhere: int, said: str) -> None:
    screen = LiveScreen(Console(quiet=True), n_total=8)
    screen._last = {**COUNTS, "queued": 0, "elsewhere": n_elsewhere}
    assert f"stages: 3 run, 1 shared, 0 from the store{said} | " in screen.line()
    with (console := Console(width=200)).capture() as captured:
        console.print(screen._screen())
    assert f"2 running on 2 workers, 0 waiting{said}" in captured.get()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"nodes": 1, "unplaced": 0, "lost_nodes": 0}, ""),
        ({}, ""),
        (
            {"nodes": 0, "unplaced": 2, "workers": 0, "queued": 3},
            "no machine has room yet: 3 stages wait for one to come",
        ),
        ({"nodes": 3}, "3 machines with 2 workers"),
        (
            {"nodes": 2, "unplaced": 1, "lost_nodes": 1, "lost_workers": 2},
            "2 machines with 2 workers, 1 more wait for room, 1 machine lost so far, 2 workers died",
        ),
    ],
)
def test_machines_are_shown_where_there_are_several_or_one_is_wanted(counts: dict, said: str) -> None:
    screen = LiveScreen(Console(quiet=True), n_total=8)
    screen._last = {**COUNTS, "queued": 0, "lost_workers": 0, **counts}
    assert machines_line(screen._last) == said
    assert said in screen.line()
    assert " |  | " not in screen.line()
    with (console := Console(width=200)).capture() as captured:
        console.print(screen._screen())
    assert said in captured.get()
    assert ("machines" in captured.get()) is bool(said)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_told_is_said_beside_what_changes(is_terminal: bool) -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=is_terminal, record=True)
    screen = LiveScreen(console, n_total=8)
    screen.start()
    screen.tell("stopping [now]")
    screen.stop()
    assert console.export_text().count("stopping [now]") == 1
