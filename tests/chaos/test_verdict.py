"""What counts as started too often, on records made by hand."""

from pathlib import Path

from tests.chaos.monkey import Kill
from tests.chaos.recording import Attempt, read_attempts, set_pause
from tests.chaos.verdict import count_starts


def attempt(process: int, started: float, ended: float | None = None, how: str = "") -> Attempt:
    return Attempt("k" * 32, "pretrain", process, started, ended, how)


def judge(attempts: list[Attempt], *kills: Kill) -> tuple[int, int, bool]:
    (starts,) = count_starts(attempts, kills)
    return starts.n_starts, starts.n_deaths, starts.too_many


def test_a_start_more_needs_a_death_of_its_worker_while_it_ran() -> None:
    twice = [attempt(1, 10.0), attempt(2, 15.0, 20.0, "done")]
    assert judge(twice, Kill("worker", 1, 12.0)) == (2, 1, False)
    assert judge(twice) == (2, 0, True)
    assert judge(twice, Kill("worker", 3, 12.0)) == (2, 0, True), "another stage's worker"
    assert judge(twice, Kill("worker", 1, 9.0)) == (2, 0, True), "before it started"


def test_the_broker_and_the_driver_count_for_what_ran_when_they_died() -> None:
    twice = [attempt(1, 10.0, 14.0, "done"), attempt(2, 15.0, 20.0, "done")]
    assert judge(twice, Kill("broker", 9, 12.0)) == (2, 1, False)
    assert judge(twice, Kill("broker", 9, 14.5)) == (2, 0, True), "nothing of the stage ran then"
    assert judge(twice, Kill("driver", 9, 12.0, frozenset({1}))) == (2, 1, False)
    assert judge(twice, Kill("driver", 9, 12.0, frozenset({3}))) == (2, 0, True), "another driver's workers"
    assert judge([attempt(1, 10.0), twice[1]], Kill("driver", 9, 9.9, frozenset({1}))) == (2, 1, False), "a last start"
    killed = [attempt(1, 10.0), attempt(2, 15.0, 20.0, "done"), attempt(2, 25.0, 30.0, "done")]
    kills = [Kill("worker", 1, 12.0), Kill("broker", 9, 13.0), Kill("driver", 9, 14.0, frozenset({1}))]
    assert judge(killed, *kills) == (3, 1, True), "the worker was dead by then"


def test_a_death_counts_once_however_many_attempts_it_met() -> None:
    three = [attempt(1, 10.0), attempt(2, 10.5), attempt(3, 15.0, 20.0, "done")]
    assert judge(three, Kill("broker", 9, 12.0)) == (3, 1, True)


def test_a_stage_that_was_stopped_may_start_again() -> None:
    again = [attempt(1, 10.0, 12.0, "stopped"), attempt(1, 15.0, 20.0, "done")]
    assert judge(again) == (2, 0, False)


def test_starts_and_ends_are_read_as_they_were_written(tmp_path: Path) -> None:
    from tests.chaos import recording

    recording._write(tmp_path, event="start", id="a", key="k", stage="rank")
    recording._write(tmp_path, event="start", id="b", key="l", stage="finetune")
    recording._write(tmp_path, event="end", id="a", how="done")
    first, second = read_attempts(tmp_path)
    assert (first.key, first.how, second.key, second.ended) == ("k", "done", "l", None)
    assert first.ended is not None
    assert first.started <= first.ended
    set_pause(tmp_path, 0.5)
    assert float((tmp_path / recording.PAUSE).read_text()) == 0.5
