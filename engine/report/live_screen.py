"""What a person sees while a sweep runs: one screen on a terminal, a line that changes in a notebook's cell, a line now
and then elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.progress_bar import ProgressBar

from engine.report.notebook import Display, in_notebook
from engine.report.terminal import grid, literal, say
from engine.signs_of_life import shown

_REFRESH_S = 0.5
_LINE_S = 15.0
_CELL_S = 1.0


class LiveScreen:
    """Counts trials and shows them with the broker's statistics.

    Args:
        console: where to show.
        n_total: trials of the sweep.
        n_done: of these, how many an earlier run has finished.
        statistics: gives the broker's counts; called from the screen's own thread.
        notes: gives lines of warning to show below.
    """

    def __init__(
        self,
        console: Console,
        *,
        n_total: int,
        n_done: int = 0,
        statistics: Callable[[], Mapping[str, Any]] = dict,
        notes: Callable[[], list[str]] = list,
    ) -> None:
        self._console = console
        self._n_total = n_total
        self._n_before = n_done
        self._statistics = statistics
        self._notes = notes
        self._counts: Counter[str] = Counter()
        self._live: dict[str, float] = {}
        self._best: tuple[float, str] | None = None
        self._told: list[str] = []
        self._start = time.monotonic()
        self._in_notebook = in_notebook() and not console.is_terminal
        self._display: Display | None = None
        self._closed = threading.Event()
        self._telling = ExitStack()
        self._last: Mapping[str, Any] = {}
        self._thread = threading.Thread(target=self._show, name="live screen", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._start = time.monotonic()
        self._telling.enter_context(shown())
        if self._in_notebook:
            self._display = Display(self.line())
        self._thread.start()

    def stop(self) -> None:
        """Show the last state and end."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._telling.close()

    def asked(self, trial: str) -> None:
        """Note that a trial has started, by its name."""
        self._live[trial] = time.monotonic()

    def ended(self, trial: str, state: str, objective: float | None = None) -> None:
        """Note that a trial has ended: "complete", "pruned" or "failed"."""
        self._live.pop(trial, None)
        self._counts[state] += 1
        if objective is not None and (self._best is None or objective < self._best[0]):
            self._best = (objective, trial)

    def tell(self, line: str) -> None:
        """Have a line said beside what changes, within half a second; a signal's handler, which may not print, can."""
        self._told.append(line)

    @property
    def seconds(self) -> float:
        """Return the time since the start."""
        return time.monotonic() - self._start

    def eta_s(self) -> float | None:
        """Return the seconds that are left at the pace so far; None before the first trial has ended."""
        done = sum(self._counts.values())
        left = self._n_total - self._n_before - done
        return self.seconds / done * left if done else None

    def line(self) -> str:
        """Return the state in one line."""
        done = self._n_before + sum(self._counts.values())
        states = ", ".join(f"{self._counts[state]} {state}" for state in ("complete", "pruned", "failed"))
        stages = self._last
        parts = [f"{done}/{self._n_total} trials ({states}, {len(self._live)} running)"]
        if stages:
            parts.append(
                f"stages: {stages['run']} run, {stages['shared']} shared, {stages['from_store']} from the store"
                + _elsewhere(stages)
            )
            machines = machines_line(stages)
            parts += [machines] if machines else []
        if self._best is not None:
            parts.append(f"best {self._best[0]:.2%} ({self._best[1]})")
        eta = self.eta_s()
        parts.append(f"{self.seconds:.0f} s" + (f", about {eta:.0f} s left" if eta else ""))
        return " | ".join(parts)

    def _show(self) -> None:
        self._show_until_closed()
        self._say_told()

    def _say_told(self) -> None:
        while self._told:
            say(self._console, self._told.pop(0))

    def _show_until_closed(self) -> None:
        if self._display is not None:
            self._show_in_place(self._display)
            return
        if not self._console.is_terminal:
            self._print_lines()
            return
        with Live(self._screen(), console=self._console, refresh_per_second=4, transient=True) as live:
            while not self._closed.wait(_REFRESH_S):
                self._say_told()
                self._last = self._statistics() or self._last
                live.update(self._screen())

    def _show_in_place(self, display: Display) -> None:
        while not self._closed.wait(_CELL_S):
            self._say_told()
            self._last = self._statistics() or self._last
            display.update(self.line(), *self._notes())
        display.update(self.line())

    def _print_lines(self) -> None:
        next_line = time.monotonic() + _LINE_S
        while not self._closed.wait(_REFRESH_S):
            self._say_told()
            if time.monotonic() >= next_line:
                next_line += _LINE_S
                self._last = self._statistics() or self._last
                say(self._console, self.line())

    def _screen(self) -> Group:
        done = self._n_before + sum(self._counts.values())
        stages = self._last
        bar = ProgressBar(total=max(1, self._n_total), completed=done, width=60)
        rows: list[tuple[str, str | ConsoleRenderable]] = [("", bar)]
        states = [f"{self._counts[state]} {state}" for state in ("complete", "pruned", "failed")]
        if self._n_before:
            states.append(f"{self._n_before} from before")
        rows.append(("trials", f"{done} of {self._n_total}: {', '.join(states)}, {len(self._live)} running"))
        if stages:
            rows.append(("stages", _stages_line(stages)))
            machines = machines_line(stages)
            rows += [("machines", machines)] if machines else []
        if self._best is not None:
            rows.append(("best", f"{self._best[0]:.2%} objective ({self._best[1]})"))
        eta = self.eta_s()
        rows.append(("time", f"{self.seconds:.0f} s" + (f", about {eta:.0f} s left" if eta else "")))
        return Group(grid(rows), *(literal(note, style="yellow") for note in self._notes()))


def _stages_line(stages: Mapping[str, Any]) -> str:
    """Return the broker's counts in words."""
    return (
        f"{stages['run']} run in {stages['run_seconds']:.0f} s, {stages['shared']} shared, "
        f"{stages['from_store']} from the store ({stages['saved_seconds']:.0f} s saved); "
        f"{stages['running']} running on {stages['workers']} workers, {stages['queued']} waiting" + _elsewhere(stages)
    )


def machines_line(stages: Mapping[str, Any]) -> str:
    """Return what is to be known of the machines; "" where there is one, all is well, and nothing waits for another.

    Args:
        stages: the broker's counts, with "nodes" that a stage could run on, "lost_nodes" so far, and "unplaced"
            workers, which wait for a machine.
    """
    nodes, lost, waiting = (stages.get(name, 0) for name in ("nodes", "lost_nodes", "unplaced"))
    if waiting and not stages["workers"]:
        count = stages["queued"]
        return f"no machine has room yet: {count} stage{'s wait' if count != 1 else ' waits'} for one to come"
    if nodes <= 1 and not lost:
        return ""
    parts = [f"{nodes} machine{'s' * (nodes != 1)} with {stages['workers']} worker{'s' * (stages['workers'] != 1)}"]
    parts += [f"{waiting} more wait for room"] if waiting else []
    parts += [f"{lost} machine{'s' * (lost != 1)} lost so far"] if lost else []
    parts += [f"{stages['lost_workers']} workers died"] if stages["lost_workers"] else []
    return ", ".join(parts)


def _elsewhere(stages: Mapping[str, Any]) -> str:
    """Return that other sweeps are at work for this one, where they are."""
    count = stages.get("elsewhere", 0)
    return f", {count} being computed by other sweeps" if count else ""


def computing_saved(seconds: float, statistics: Mapping[str, Any]) -> str:
    """Return what a sweep's stages took, and how much sharing them saved.

    Args:
        seconds: how long the sweep took.
        statistics: the broker's counts.
    """
    whole = statistics["run_seconds"] + statistics["saved_seconds"]
    share = f" ({statistics['saved_seconds'] / whole:.0%} of the work)" if whole else ""
    return (
        f"{seconds:.0f} s; {statistics['run']} stages run in {statistics['run_seconds']:.0f} s, "
        f"{statistics['shared']} shared and {statistics['from_store']} found in the store: "
        f"{statistics['saved_seconds']:.0f} s of computing saved{share}"
    )
