import io
import sys

import pytest

from engine.data import open_reader, progress
from engine.settings import DataSettings
from tests.engine.data.pictures import noise, write


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Let every look at the clock be half a second later than the last."""
    times = iter(range(10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times) / 2)


@pytest.mark.usefixtures("clock")
def test_a_terminal_sees_a_count_from_the_first_second_on_and_nothing_is_left_of_it():
    terminal = Terminal()
    assert list(progress.counted("abcd", 1000, "decoding pictures", stream=terminal)) == list("abcd")
    lines = terminal.getvalue().split("\r")
    assert lines[:4] == ["", *(f"decoding pictures: {done} of 1,000" for done in (2, 3, 4))]
    assert set(lines[4]) == {" "}
    assert lines[5:] == [""]


@pytest.mark.usefixtures("clock")
def test_a_file_gets_no_count():
    file = io.StringIO()
    assert list(progress.counted("abcd", 4, "decoding", stream=file)) == list("abcd")
    assert file.getvalue() == ""


def test_what_is_done_at_once_is_not_told():
    terminal = Terminal()
    assert list(progress.counted(range(1000), 1000, "decoding", stream=terminal)) == list(range(1000))
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("clock")
def test_a_folder_tells_of_its_reading_and_decoding(tmp_path, monkeypatch):
    for number in range(24):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", noise(8, 8, seed=number))
    monkeypatch.setattr(sys, "stderr", Terminal())
    open_reader(DataSettings(name=f"folder:{tmp_path}", test_fraction=0.25)).read()
    told = sys.stderr.getvalue()
    for line in ("reading files: 24 of 24", "decoding train pictures: 18 of 18", "decoding test pictures: 6 of 6"):
        assert f"\r{line}" in told
