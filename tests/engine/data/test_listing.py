"""Which files of a folder are used, and what is said of the others."""

import os
from pathlib import Path

import pytest

from engine.data.listing import list_classes, shown, told
from engine.errors import InputError
from tests.engine.data.pictures import noise, saved, write


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder of two classes of two pictures each."""
    for name in ("cat", "dog"):
        for number in (0, 1):
            write(tmp_path / name / f"{number}.png", noise(8, 8, 3))
    return tmp_path


def found(folder: Path) -> dict[str, list[str]]:
    listing = list_classes(folder)
    return {
        name: [path.relative_to(folder / name).as_posix() for path in paths] for name, paths in listing.classes.items()
    }


def test_classes_and_pictures_are_in_the_order_of_their_names(folder):
    assert found(folder) == {"cat": ["0.png", "1.png"], "dog": ["0.png", "1.png"]}
    assert not list_classes(folder).passed_over


def test_pictures_at_any_depth_are_of_the_class_on_top(folder):
    write(folder / "cat" / "0 night" / "a" / "0.png", noise(8, 8))
    write(folder / "cat" / "x.png" / "1.png", noise(8, 8))  # a folder that is called like a picture
    (folder / "cat" / "empty").mkdir()
    assert found(folder)["cat"] == ["0 night/a/0.png", "0.png", "1.png", "x.png/1.png"]


def test_linked_folders_are_entered_and_circles_are_not(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "2.png", noise(8, 8))
    (folder / "cat" / "linked").symlink_to(elsewhere)
    (folder / "cat" / "up").symlink_to(folder / "cat")
    (elsewhere / "round").symlink_to(elsewhere)
    assert found(folder)["cat"] == ["0.png", "1.png", "linked/2.png"]
    assert list_classes(folder).passed_over == {"links that lead back": 2}


def test_hidden_files_and_folders_are_left_out_and_counted(folder):
    (folder / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    write(folder / "cat" / ".ipynb_checkpoints" / "0.png", noise(8, 8))
    write(folder / ".cache" / "0.png", noise(8, 8))
    write(folder / "__MACOSX" / "0.png", noise(8, 8))
    assert found(folder) == {"cat": ["0.png", "1.png"], "dog": ["0.png", "1.png"]}
    assert list_classes(folder).passed_over == {"hidden": 4}


def test_other_files_are_passed_over_and_counted_by_their_suffix(folder):
    for name in ("notes.txt", "more.TXT", "photo.heic", "old.png.bak", "README"):
        (folder / "cat" / name).write_bytes(b"something else")
    (folder / "dog" / "old.png~").write_bytes(saved(noise(8, 8)))
    (folder / "labels.csv").write_text("no class")
    write(folder / "overview.png", noise(8, 8))
    os.mkfifo(folder / "cat" / "pipe.png")
    listing = list_classes(folder)
    assert found(folder)["cat"] == ["0.png", "1.png"]
    assert told(listing.passed_over, "passed over: ") == (
        "passed over: 2 .txt, 1 .bak, 1 .heic, 1 .png~, 1 in no class folder, 1 no ordinary file, "
        "1 without suffix and no picture"
    )


@pytest.mark.parametrize("name", ["z.jfif", "z.avif", "z.JPE", "z.Tiff", "z", "0000001"])
def test_every_suffix_of_a_format_is_known_and_none_at_all_is_looked_into(folder, name):
    (folder / "cat" / name).write_bytes(saved(noise(8, 8, 3), "jpeg"))
    assert name in found(folder)["cat"]


def test_what_should_be_a_picture_is_one_here_whatever_is_wrong_with_it(folder):
    (folder / "cat" / "dead.png").symlink_to("nowhere.png")
    (folder / "cat" / "round.png").symlink_to("round.png")
    (folder / "cat" / "empty.png").touch()
    assert found(folder)["cat"] == ["0.png", "1.png", "dead.png", "empty.png", "round.png"]


def test_a_folder_without_classes_is_refused(tmp_path):
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(InputError, match=r"folder has no classes \(one folder each\)"):
        list_classes(tmp_path)


def test_all_classes_without_pictures_are_named_and_what_lies_there_is_said(folder):
    (folder / "emu").mkdir()
    (folder / "fox").mkdir()
    (folder / "fox" / "0.heic").touch()
    with pytest.raises(InputError, match=r"class folders without pictures: .*/emu, .*/fox; there: 1 .heic$"):
        list_classes(folder)


def test_a_folder_that_cannot_be_read_is_refused(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"folder cannot be read: .*/dog \(Permission denied\)"):
        list_classes(folder)


def test_names_that_are_no_text_can_be_printed(folder):
    write(Path(os.fsdecode(os.fsencode(folder) + b"/h\xfchner/0.png")), noise(8, 8))
    (name,) = set(list_classes(folder).classes) - {"cat", "dog"}
    assert shown(name) == "h�hner"
    shown(name).encode()
