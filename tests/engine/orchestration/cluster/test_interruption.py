"""Being asked to end by a signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from engine.orchestration.cluster.interruption import as_ctrl_c, say_first


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT, as a process does that a script has started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigterm_is_heard_where_ctrl_c_is_ignored() -> None:
    with interrupts_ignored():
        with as_ctrl_c(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # still ignored: it is meant for what runs in the foreground


def test_sigterm_goes_to_whoever_handles_ctrl_c() -> None:
    heard = []

    def handle(number: int, _: FrameType | None) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        with as_ctrl_c():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_ctrl_c_is_told_before_whoever_handles_it_hears_it() -> None:
    heard: list[object] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        say_first(lambda: heard.append("told"))
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["told", signal.SIGINT]


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    with interrupts_ignored():
        say_first(lambda: pytest.fail("nobody presses it"))
        signal.raise_signal(signal.SIGINT)
