"""Processes of benchmarks: what they tell is heard in order, and one that dies is noticed at once."""

import os
import time

import pytest

from benchmarks.processes import Processes


def answer(end, number):
    end.send(number)
    end.send(f"{end.recv()} {number}")


def die_or_wait(end, number):
    if number:
        os._exit(7)
    end.recv()


def die(end, *given):
    os._exit(3)


def test_what_processes_tell_is_heard_in_their_order():
    with Processes(answer, [(2,), (1,)], limit_s=60) as processes:
        assert processes.hear() == [2, 1]
        processes.tell("go on,")
        assert processes.hear() == ["go on, 2", "go on, 1"]


def test_a_process_that_dies_is_noticed_while_another_one_waits():
    started = time.monotonic()
    with (
        pytest.raises(SystemExit, match="a process ended with code 7 before it told anything"),
        Processes(die_or_wait, [(0,), (1,)], limit_s=60) as processes,
    ):
        processes.hear()
    assert time.monotonic() - started < 30


def test_processes_that_say_nothing_are_waited_for_no_longer_than_said():
    with (
        pytest.raises(SystemExit, match=r"1 of 1 processes said nothing in 0.2 s"),
        Processes(die_or_wait, [(0,)], limit_s=0.2) as processes,
    ):
        processes.hear()


def test_workers_whose_memory_is_measured_are_not_waited_for_when_they_die(monkeypatch):
    from benchmarks import kept_sets  # here: what is started imports this module

    monkeypatch.setattr(kept_sets, "work", die)
    with pytest.raises(SystemExit, match="a process ended with code 3"):
        kept_sets.grown_in_processes(2, ("store", {}))


def test_processes_of_bare_trials_are_not_waited_for_when_they_die(monkeypatch):
    from benchmarks import many

    monkeypatch.setattr(many, "_compute", die)
    with pytest.raises(SystemExit, match="a process ended with code 3"):
        many.run_bare(many.space_of(2, 1, small=True), many.Way(2, is_bare=True))
