import time

from engine.data import progress
from engine.signs_of_life import SILENT_S, doing, note_said, shown
from engine.signs_of_life import signs_of_life as signs


def lines(capsys) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == "", "what is piped on stays clean"
    return captured.err.splitlines()


def test_who_is_silent_for_long_says_what_is_done_and_for_how_long(capsys):
    with signs(0.05), doing("the outer"), doing(lambda: "epoch 3 of 9"):
        time.sleep(0.3)
    said = lines(capsys)
    assert len(said) >= 2
    assert set(said) == {"epoch 3 of 9 (0 s)"}


def test_who_says_something_else_says_nothing_of_it(capsys):
    with signs(1.0):
        for _ in range(60):
            note_said()
            time.sleep(0.02)
    assert lines(capsys) == []


def test_where_a_bar_shows_it_nothing_is_said(capsys):
    with signs(0.05), shown(), doing("drawing"):
        time.sleep(0.2)
    assert lines(capsys) == []


def test_within_another_one_it_says_nothing_twice(capsys):
    with signs(0.2), signs(0.01):
        time.sleep(0.1)
    assert lines(capsys) == []


def test_what_has_no_words_of_its_own_is_said_to_go_on(capsys):
    with signs(0.05):
        time.sleep(0.15)
    assert lines(capsys)[0] == "still at work (0 s)"


def test_who_reads_files_says_how_many_where_there_is_no_terminal(capsys):
    with signs(0.05):
        for _ in progress.counted(range(3), 3, "decoding pictures"):
            time.sleep(0.12)
    said = lines(capsys)
    assert {"decoding pictures: 1 of 3 (0 s)", "decoding pictures: 2 of 3 (0 s)"} <= set(said)


def test_it_is_a_quarter_of_a_minute():
    assert SILENT_S == 15.0
