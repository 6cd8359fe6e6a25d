"""A file that others may read at any time is whole, or as it was before."""

from pathlib import Path

import pytest

from engine.whole_files import written_whole


def test_a_file_takes_its_place_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    for text in ("first", "second"):
        with written_whole(path) as scratch:
            scratch.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text("before")

    def write() -> None:
        with written_whole(path) as scratch:
            scratch.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
