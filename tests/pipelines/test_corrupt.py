"""The command that writes CIFAR-10-C's files from any data set."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.corruptions import corrupt
from engine.data import CorruptionFiles, Split, load_dataset
from engine.settings import DataSettings
from pipelines.corrupt import command_line

DATA = ("--set", "data.n_test=12")


def clean() -> Split:
    return load_dataset(DataSettings(n_test=12)).test


def test_the_files_hold_what_corrupt_gives(tmp_path: Path, capsys) -> None:
    output, grid = tmp_path / "digits-c", tmp_path / "grid.png"
    given = ["--output", str(output), "--home", str(tmp_path), "--seed", "5", "--table", "digits", *DATA]
    given += ["--corruptions", "contrast", "gaussian_noise", "--grid", str(grid)]
    assert command_line(given) == 0
    printed = capsys.readouterr().out
    assert "12 test images of 1×16×16, 2 corruptions of 5 severities" in printed
    assert "wrote 2 corruptions and labels.npy" in printed
    test = clean()
    files = CorruptionFiles(output, test)
    for severity in (1, 5):
        expected = corrupt(test.images, "gaussian_noise", severity, seed=5, indices=test.indices, table="digits")
        torch.testing.assert_close(files.split("gaussian_noise", severity).images, expected, rtol=0, atol=0)
    assert Image.open(grid).width > 400
    before = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert command_line(given) == 0
    printed = capsys.readouterr().out
    assert f"nothing to write: all 2 corruptions are in {output}" in printed
    assert "contrast: there already" in printed
    assert "wrote 2" not in printed
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == before
    assert command_line([word if word != "contrast" else "pixelate" for word in given]) == 0
    assert f"wrote 1 of 2 corruptions into {output}: the rest was there" in capsys.readouterr().out


def test_corruptions_may_be_joined_by_commas_as_in_settings(tmp_path: Path, capsys) -> None:
    given = ["--output", str(tmp_path / "c"), "--home", str(tmp_path), *DATA, "--corruptions", "contrast,fog"]
    assert command_line(given) == 0
    assert "2 corruptions of 5 severities" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [(), ("--corruptions", "c")])
def test_what_grey_images_cannot_have_is_left_out_and_said(tmp_path: Path, capsys, asked) -> None:
    output = tmp_path / "digits-c"
    assert command_line(["--output", str(output), "--home", str(tmp_path), *DATA, *asked]) == 0
    printed = capsys.readouterr().out
    assert "12 test images of 1×16×16, 18 corruptions of 5 severities" in printed
    assert "left out: corruption 'saturate' needs images of 3 channels, got 1" in printed
    assert len(CorruptionFiles(output, clean()).names) == 18


def test_what_is_asked_for_by_name_is_not_left_out(tmp_path: Path, capsys) -> None:
    output = tmp_path / "digits-c"
    given = ["--output", str(output), "--home", str(tmp_path), *DATA, "--corruptions", "fog", "saturate"]
    assert command_line(given) == 2
    assert "'saturate' cannot be had of the images of digits: corruption 'saturate' needs" in capsys.readouterr().err
    assert not output.exists()


def test_a_damaged_picture_of_frost_is_named_before_anything_is_written(tmp_path: Path, capsys, monkeypatch) -> None:
    pictures = tmp_path / "frost"
    pictures.mkdir()
    for name in ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"):
        Image.fromarray(np.full((200, 300, 3), 40, dtype=np.uint8)).save(pictures / name)
    whole = (pictures / "frost4.jpg").read_bytes()
    (pictures / "frost4.jpg").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("FROST_DIR", str(pictures))
    assert command_line(["--output", str(tmp_path / "out"), "--home", str(tmp_path), *DATA]) == 2
    errors = capsys.readouterr().err
    assert f"the picture of frost {pictures / 'frost4.jpg'} cannot be read: it is damaged" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_is_a_sentence(tmp_path: Path, capsys, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device: 4.0 GB are wanted in /tmp")

    monkeypatch.setattr("pipelines.corrupt.prepare_data", full)
    assert command_line(["--output", str(tmp_path / "out"), "--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: No space left on device: 4.0 GB are wanted in /tmp\n"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("--corruptions", "contrasst"), "did you mean 'contrast'?"),
        (("--table", "cifar"), "severity table"),
        (
            ("--table", "digits", "--corruptions", "c"),
            "no suite of corruptions 'c', but 'cifar-c' has: --table ci",
        ),
        (("--set", "pretrain.epochs=3"), "only settings of the data can be changed here, got pretrain.epochs"),
        (("--threads", "0"), "`--threads` must be ≥ 1, got 0"),
        (("--image", "12", *DATA), "`--image` must be from 0 to 11, got 12"),
        (("--grid", "nowhere/grid.png"), "the figure's folder does not exist: nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tmp_path: Path, capsys, monkeypatch, changes, sentence) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line(["--output", "out", *changes]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1
    assert not Path("out").exists()
