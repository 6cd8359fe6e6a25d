"""A folder of pictures from the command line: what is said of it, the first time and again."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from pipelines import sweep, trial
from tests.engine.data.pictures import noise, write


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return 60 deep grey pictures in two classes, one of them flat, and a text; without train/ and test/."""
    for name in ("[red]", "blue"):
        for number in range(30):
            seed = number + 100 * (name == "blue")
            write(tmp_path / "pictures" / name / f"{number:02}.png", noise(8, 8, seed=seed).astype(np.uint16) << 4)
    write(tmp_path / "pictures" / "blue" / "30.png", np.full((8, 8), 99, np.uint16))
    (tmp_path / "pictures" / "notes.txt").touch()
    return tmp_path / "pictures"


SAID = (
    "{folder} has no train/ and test/: 12 of its 61 pictures, 0.2 of each class, are the test images, drawn by seed 0 "
    "(data.split_seed)",
    "61 pictures have more than 8 bits: whole numbers from 0 to 4080, taken as numbers of 12 bits",
    "1 of 61 images are flat: one value everywhere",
)
QUICK = ("data.test_fraction=0.2", "model.width=4", "pretrain.epochs=1", "evaluate.severities=[5]")


def test_a_trial_on_an_unsplit_folder_says_what_it_made_of_it_also_from_the_store(folder, tmp_path, capsys):
    arguments = ["--home", str(tmp_path / "runs"), "--dataset", f"folder:{folder}", "--set", *QUICK]
    arguments.append('evaluate.corruptions=["contrast"]')
    for _ in range(2):
        assert trial.command_line(arguments) == 0
        printed = capsys.readouterr().out
        assert "39 training, 10 validation and 12 test images of 1×8×8, 2 classes" in printed
        for line in SAID:
            assert line.format(folder=folder) in printed


def test_a_dry_run_says_it_too(folder, tmp_path, capsys):
    arguments = ["--home", str(tmp_path / "runs"), "--dataset", f"folder:{folder}", "--set", *QUICK, "--dry-run"]
    assert sweep.command_line([*arguments, "--space", str(plain_space(tmp_path))]) == 0
    printed = capsys.readouterr().out
    for line in SAID:
        assert line.format(folder=folder) in printed


def test_a_search_on_few_pictures_leaves_out_what_they_are_too_few_for(tmp_path, capsys):
    for place in range(240):
        write(tmp_path / "pictures" / "ab"[place % 2] / f"{place}.png", noise(8, 8, 3, seed=place))
    arguments = ["--home", str(tmp_path / "runs"), "--dataset", f"folder:{tmp_path / 'pictures'}", "--dry-run"]
    assert sweep.command_line([*arguments, "--set", "data.test_fraction=0.2"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 3 values of axis 'distortion.n_images' are left out: 200, 400 (" in printed
    assert "axis distortion.n_images: 50   if" in printed


def test_bad_pictures_end_a_command_with_a_sentence(folder, tmp_path, capsys):
    for name in ("[red]/00.png", "blue/03.png"):
        (folder / name).write_bytes(b"nothing")
    arguments = ["--home", str(tmp_path / "runs"), "--dataset", f"folder:{folder}", "--set", *QUICK]
    assert trial.command_line(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 2 of 61 pictures cannot be used: ")
    assert "[red]/00.png (no picture of a format that is read), " in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("place", range(3))
def test_the_commands_of_the_page_run_as_printed(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    for number in range(200):
        inside = f"{'ab'[number % 2]}/{number}"
        write(tmp_path / "CLASSES" / f"{inside}.png", noise(8, 8, 3, seed=number))
        write(tmp_path / "PICTURES" / ("train", "test")[number % 5 == 0] / f"{inside}.jpg", noise(8, 8, 3, seed=number))
        part = tmp_path / "SCANS" / ("train", "test")[number % 5 == 0]
        write(part / f"{inside}.tif", draws.integers(-2000, 2000, (8, 8)).astype(np.int32))
    page = (Path(__file__).parents[2] / "docs" / "images.md").read_text()
    command = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)[place]
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"]
    main = {"pipelines.sweep": sweep, "pipelines.trial": trial}[words[2]].command_line
    assert main([*words[3:], "--home", "runs"]) == 0
    said = ("distortion.n_images", "(data.split_seed)", "-1000 is black and 1000 white; what is beyond in 200 of them")
    assert said[place] in capsys.readouterr().out


def test_an_arm_that_asks_for_more_than_there_is_is_named(folder, tmp_path, capsys):
    path = plain_space(tmp_path)
    tuned = 'Arm("tuned", {"finetune.which": "all", "distortion.n_images": 60})'
    path.write_text(path.read_text().replace("arms=(", f"arms=({tuned}, "))
    arguments = ["--home", str(tmp_path / "runs"), "--dataset", f"folder:{folder}", "--set", *QUICK]
    assert sweep.command_line([*arguments, "--space", str(path)]) == 2
    error = capsys.readouterr().err
    assert (
        "error: arm 'tuned': `distortion.n_images` must be at most the 39 training images, got 60: ask for fewer"
        in error
    )


def plain_space(tmp_path: Path) -> Path:
    path = tmp_path / "plain.py"
    path.write_text(
        "from engine.spaces import Arm, Space\n"
        'SPACE = Space("plain", arms=(Arm("plain", {"push_pull.where": "none"}, control=True),), n_seeds=1)\n'
    )
    return path
