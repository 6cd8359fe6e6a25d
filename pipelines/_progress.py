"""What a command shows while it computes: on a terminal at once, elsewhere where it takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from engine.report.terminal import literal, progress_bar
from engine.signs_of_life import doing, shown
from engine.stages import StageSpec


@contextmanager
def stage_bar(console: Console) -> Iterator[Callable[[StageSpec, int, int], None]]:
    """Show how far the running stage is; give what ``run_chain`` tells it to."""
    with progress_bar(console, transient=True) as bar:
        task, running = bar.add_task("", total=None, visible=False), ""

        def show(spec: StageSpec, done: int, total: int) -> None:
            nonlocal running
            is_new, running = spec.key != running, spec.key
            if is_new:
                bar.reset(task, total=total, description=spec.stage)
            bar.update(task, completed=done, visible=done < total, refresh=is_new)

        yield show


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Show that something is under way whose end is not known."""
    if console.is_terminal:
        with console.status(literal(what)), shown():
            yield
    else:
        with doing(what):
            yield
