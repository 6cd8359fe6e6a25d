"""What a command shows on a terminal while it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console

from engine.report.terminal import literal, progress_bar
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


def waiting(console: Console, what: str) -> AbstractContextManager[object]:
    """Show on a terminal that something is under way whose end is not known."""
    return console.status(literal(what))
