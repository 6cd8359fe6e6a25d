"""Leases when several want one at the same time: forced interleavings, and many processes."""

import json
import multiprocessing
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from engine.store.claims import right_to_end
from engine.store.holders import Holder
from engine.store.leases import FileLease, find_live, remove_left
from tests.engine.store.interleaving import Preemptions, gate_files, orders, run_interleaved


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "leases"
    folder.mkdir()
    return folder / "a.json"


def leave_stale(path: Path) -> None:
    """Leave the lease of a process that has ended."""
    holder = replace(Holder.this_process(), born="1")
    path.write_text(json.dumps({"holder": asdict(holder), "note": {}}))


def leave_nothing() -> None:
    """Leave the place empty."""


class Contention:
    """Contenders for a lease, and how many hold it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.holding: list[FileLease] = []
        self.n_together = 0

    def keep(self) -> bool:
        """Take the lease, and keep it."""
        lease = FileLease(self.path)
        if not lease.acquire():
            return False
        self._note(lease)
        return True

    def pass_on(self) -> bool:
        """Take the lease, and give it back."""
        lease = FileLease(self.path)
        if not lease.acquire():
            return False
        self._note(lease)
        self.holding.remove(lease)
        lease.release()
        return True

    def _note(self, lease: FileLease) -> None:
        self.holding.append(lease)
        self.n_together = max(self.n_together, len(self.holding))


Contenders = Callable[[Contention], Sequence[Callable[[], bool | str]]]
IS_ENDED = "ended"
"""What somebody returns who removes or gives back the lease: meanwhile it is not to be had."""


@pytest.fixture(params=[150, pytest.param(800, marks=pytest.mark.slow)])
def n_sampled(request) -> int:
    """Orders that are tried, where there are more: a few, and in the long run many."""
    return request.param


def explore(path: Path, leave: Callable[[], None], contenders: Contenders, *, most: int, n_sampled: int) -> None:
    """Run contenders in orders with some preemptions at most (a sample, where they are many), and check each.

    Never do two hold the lease at once, somebody gets it (at once, unless it was just being given back or removed), who
    keeps it is shown, and in the end nothing lies about.
    """
    n_contenders = len(contenders(Contention(path)))
    n_steps = run_in_order(path, leave, contenders, ())
    every = list(orders(n_contenders, n_steps, most))
    for preemptions in every if len(every) <= n_sampled else random.Random(0).sample(every, n_sampled):
        run_in_order(path, leave, contenders, preemptions)


def run_in_order(path: Path, leave: Callable[[], None], contenders: Contenders, preemptions: Preemptions) -> int:
    leave()
    contention = Contention(path)
    results, n_steps = run_interleaved(contenders(contention), preemptions)
    if IS_ENDED in results and not any(result is True for result in results):
        assert contention.keep(), f"it was just being ended, and is not to be had afterwards: {preemptions}"
    assert contention.n_together == 1, f"{contention.n_together} held it at once: {preemptions}"
    for lease in contention.holding:
        found = find_live(path)
        assert found is not None, preemptions
        assert found.holder == lease._holder, preemptions
        lease.release()
    assert list(path.parent.iterdir()) == [], preemptions
    return n_steps


@pytest.mark.parametrize("is_stale", [True, False])
@pytest.mark.parametrize(("n_contenders", "most"), [(2, 2), (3, 2), (2, 4)])
def test_in_every_order_one_of_several_gets_a_lease(path, monkeypatch, n_sampled, n_contenders, most, is_stale):
    gate_files(monkeypatch)
    leave = (lambda: leave_stale(path)) if is_stale else leave_nothing
    explore(path, leave, lambda contention: [contention.keep] * n_contenders, most=most, n_sampled=n_sampled)


@pytest.mark.parametrize("is_stale", [True, False])
def test_in_every_order_a_lease_that_is_passed_on_is_held_by_one_at_a_time(path, monkeypatch, n_sampled, is_stale):
    gate_files(monkeypatch)
    leave = (lambda: leave_stale(path)) if is_stale else leave_nothing
    explore(path, leave, lambda one: [one.pass_on, one.keep, one.keep], most=3, n_sampled=n_sampled)


def test_in_every_order_one_gets_a_lease_whose_right_to_end_was_left_by_the_dead(path, monkeypatch, n_sampled):
    gate_files(monkeypatch)

    def leave() -> None:
        leave_stale(path)
        token = json.loads(path.read_text())["holder"]["token"]
        leave_stale(right_to_end(path, token))

    explore(path, leave, lambda contention: [contention.keep] * 2, most=2, n_sampled=n_sampled)


def test_in_every_order_what_the_dead_left_is_removed_or_taken(path, monkeypatch, n_sampled):
    def remove() -> str:
        remove_left(path)
        return IS_ENDED

    gate_files(monkeypatch)
    explore(
        path,
        lambda: leave_stale(path),
        lambda contention: [contention.keep, remove, remove],
        most=2,
        n_sampled=n_sampled,
    )


def test_in_every_order_who_comes_back_from_a_sleep_does_not_give_back_another_s_lease(path, monkeypatch, n_sampled):
    sleepers: list[FileLease] = []

    def leave_asleep() -> None:
        sleepers[:] = [FileLease(path)]
        assert sleepers[0].acquire()
        os.utime(path, (1, 1))

    def wake_and_release() -> str:
        sleepers[0].release()
        return IS_ENDED

    gate_files(monkeypatch)
    explore(path, leave_asleep, lambda contention: [contention.keep, wake_and_release], most=2, n_sampled=n_sampled)


def contend(folder: Path, n_rounds: int, barrier: Any, results: Any) -> None:
    """Take each round's lease if it is to be had, keep it until all have tried, and say so."""
    for number in range(n_rounds):
        lease = FileLease(folder / f"{number}.json")
        barrier.wait(60)
        got = lease.acquire()
        barrier.wait(60)
        results.put((number, got, os.getpid()))
        lease.release()


def test_of_many_processes_one_gets_a_lease(tmp_path):
    n_processes, n_rounds = 8, 40
    for number in range(n_rounds):
        if number % 2:
            leave_stale(tmp_path / f"{number}.json")
    forked = multiprocessing.get_context("fork")
    barrier, results = forked.Barrier(n_processes), forked.Queue()
    processes = [
        forked.Process(target=contend, args=(tmp_path, n_rounds, barrier, results)) for _ in range(n_processes)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in range(n_processes * n_rounds)]
    for process in processes:
        process.join(60)
    for number in range(n_rounds):
        winners = [process for round_number, got, process in found if round_number == number and got]
        assert len(winners) == 1, f"round {number}: {winners}"
    assert list(tmp_path.iterdir()) == []
