"""What a person is told who gave something that cannot be."""

from pathlib import Path

import pytest

from engine.errors import InputError, writing


def test_a_file_that_the_disk_refuses_is_one_sentence(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "table.csv"
    with (
        pytest.raises(InputError, match=rf"^the table cannot be written: {place} \(No such file or directory\)$"),
        writing("the table", place),
    ):
        place.write_text("1")


def test_an_error_without_the_system_s_words_keeps_its_own() -> None:
    with (
        pytest.raises(InputError, match=r"^the rows cannot be written: r.csv \(no room\)$"),
        writing("the rows", "r.csv"),
    ):
        raise OSError("no room")


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), writing("the table", "t.csv"):
        raise ZeroDivisionError
