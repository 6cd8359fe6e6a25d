"""The command that writes CIFAR-10-C's files from any data set."""

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
    before = np.load(output / "contrast.npy").copy()
    assert command_line(given) == 0
    np.testing.assert_array_equal(np.load(output / "contrast.npy"), before)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("--corruptions", "contrasst"), "did you mean 'contrast'?"),
        (("--table", "cifar"), "severity table"),
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
