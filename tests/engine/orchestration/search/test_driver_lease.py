import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import optuna
import pytest

from engine.errors import InputError
from engine.orchestration.search import driver_lease as lease
from engine.orchestration.search.driver_lease import DRIVER, DriverLease
from engine.store.holders import Holder


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def open_study(storage: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=storage, study_name="mine", load_if_exists=True)


def claim_as(storage: str, holder: Holder, *, beat: float | None = None) -> None:
    open_study(storage).set_user_attr(DRIVER, {"holder": asdict(holder), "beat": beat or time.time()})


ELSEWHERE = replace(Holder.this_process(), host="elsewhere", pid=77)


def test_a_second_driver_is_refused_in_one_sentence_until_the_first_ends(storage: str) -> None:
    with DriverLease(open_study(storage)):
        with pytest.raises(InputError, match=r"^study 'mine' is being run by process \d+ on ") as error:
            DriverLease(open_study(storage)).__enter__()
        assert f"process {os.getpid()} on" in str(error.value)
        assert "since 2" in str(error.value)
        assert "let it end, stop it, or choose another --study" in str(error.value)
        assert "\n" not in str(error.value)
        with DriverLease(optuna.create_study(storage=storage, study_name="other")):
            pass
    with DriverLease(open_study(storage)):
        pass
    assert open_study(storage).user_attrs[DRIVER] is None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_it_is_given_back_whatever_ends_the_driver(storage: str, kind: type[BaseException]) -> None:
    with pytest.raises(kind), DriverLease(open_study(storage)):
        raise kind
    assert open_study(storage).user_attrs[DRIVER] is None


def test_it_is_given_back_when_interrupted_while_it_is_taken(storage: str, monkeypatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lease.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DriverLease(open_study(storage)).__enter__()
    monkeypatch.undo()
    assert open_study(storage).user_attrs[DRIVER] is None


def test_a_killed_driver_is_replaced_at_once(storage: str) -> None:
    code = (
        "import optuna, os, sys; from engine.orchestration.search.driver_lease import DriverLease\n"
        "DriverLease(optuna.create_study(storage=sys.argv[1], study_name='mine')).__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, storage], check=False, capture_output=True)
    assert open_study(storage).user_attrs[DRIVER]["holder"]["pid"] != os.getpid()
    with DriverLease(open_study(storage)):
        assert open_study(storage).user_attrs[DRIVER]["holder"]["pid"] == os.getpid()


def test_a_driver_elsewhere_holds_the_study_while_it_beats(storage: str) -> None:
    claim_as(storage, ELSEWHERE, beat=time.time() - lease.DEAD_S / 2)
    with pytest.raises(InputError, match=r"by process 77 on elsewhere since .*last sign of life 3\d s ago"):
        DriverLease(open_study(storage)).__enter__()


def test_a_driver_elsewhere_that_beats_no_more_is_replaced(storage: str, monkeypatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    claim_as(storage, ELSEWHERE, beat=time.time() - 2 * lease.DEAD_S)
    with DriverLease(open_study(storage)):
        pass


def test_a_driver_elsewhere_whose_clock_is_late_holds_the_study(storage: str, monkeypatch) -> None:
    claim_as(storage, ELSEWHERE, beat=time.time() - 2 * lease.DEAD_S)
    beat = time.time() - 1.9 * lease.DEAD_S
    monkeypatch.setattr(lease.time, "sleep", lambda _: claim_as(storage, ELSEWHERE, beat=beat))
    with pytest.raises(InputError, match="by process 77 on elsewhere"):
        DriverLease(open_study(storage)).__enter__()


def test_of_two_that_start_in_the_same_moment_the_later_claim_stands(storage: str, monkeypatch) -> None:
    monkeypatch.setattr(lease.time, "sleep", lambda _: claim_as(storage, ELSEWHERE))
    with pytest.raises(InputError, match="by process 77 on elsewhere"):
        DriverLease(open_study(storage)).__enter__()
    assert open_study(storage).user_attrs[DRIVER]["holder"]["host"] == "elsewhere"


def slowly(method, seconds: float):
    def slow(*arguments) -> None:
        time.sleep(seconds)
        method(*arguments)

    return slow


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.5, 1.0])
def test_however_long_the_database_takes_to_write_a_claim_one_driver_is_left(storage, monkeypatch, delay_s) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", lease.CLAIM_S)
    monkeypatch.setattr(lease, "BEAT_S", 0.3)
    open_study(storage)
    slow, quick = DriverLease(open_study(storage), lambda: None), DriverLease(open_study(storage), lambda: None)
    slow._write = slowly(slow._write, delay_s)  # type: ignore[method-assign]
    entered, refused = [], []

    def drive(one: DriverLease) -> None:
        try:
            one.__enter__()
        except InputError as error:
            refused.append(str(error))
        else:
            entered.append(one)

    threads = [threading.Thread(target=drive, args=(one,)) for one in (slow, quick)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # the slow one has seen the study free
    for thread in threads:
        thread.join(30)
    assert len(entered) <= 1
    assert len(entered) + len(refused) == 2
    for one in entered:
        time.sleep(0.5)  # a few beats: what the slow one wrote over is there again
        assert one._other is None
        one.__exit__(None, None, None)


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_beats(storage: str, monkeypatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    with DriverLease(open_study(storage)):
        first = open_study(storage).user_attrs[DRIVER]["beat"]
        wait_for(lambda: open_study(storage).user_attrs[DRIVER]["beat"] > first)


def test_a_driver_that_was_replaced_stops_and_says_so(storage: str, monkeypatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    stopped = threading.Event()

    def drive() -> None:
        with DriverLease(open_study(storage), stopped.set):
            end = time.monotonic() + 30
            while not stopped.wait(0.02):  # again: a beat under way may write over a claim, which no real one ends with
                assert time.monotonic() < end
                claim_as(storage, ELSEWHERE)
            raise KeyboardInterrupt  # what the default does to the main thread

    with pytest.raises(InputError, match="study 'mine' was taken over by process 77 on elsewhere"):
        drive()
    assert open_study(storage).user_attrs[DRIVER]["holder"]["host"] == "elsewhere"


def test_who_waits_takes_over_from_a_driver_that_died_elsewhere_a_moment_ago(storage: str, monkeypatch) -> None:
    for name, seconds in (("BEAT_S", 0.05), ("DEAD_S", 1.0), ("LOOK_S", 0.1)):
        monkeypatch.setattr(lease, name, seconds)
    claim_as(storage, ELSEWHERE)
    with pytest.raises(InputError, match="choose another --study; --wait gives it time"):
        DriverLease(open_study(storage)).__enter__()
    said: list[str] = []
    with DriverLease(open_study(storage), wait_s=20.0, say=said.append):
        assert open_study(storage).user_attrs[DRIVER]["holder"]["pid"] == os.getpid()
    (sentence,) = said
    assert sentence.startswith("waiting for up to 20 s: study 'mine' is being run by process 77 on elsewhere since ")


def test_who_waits_for_a_driver_that_lives_is_refused_in_the_end(storage: str, monkeypatch) -> None:
    monkeypatch.setattr(lease, "LOOK_S", 0.1)
    claim_as(storage, ELSEWHERE)
    began = time.monotonic()
    with pytest.raises(InputError, match="by process 77 on elsewhere"):
        DriverLease(open_study(storage), wait_s=0.5).__enter__()
    assert time.monotonic() - began >= 0.5
