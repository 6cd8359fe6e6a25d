"""A whole trial on ``imagefolder:PATH``: from a mapped file of the store, the same numbers as from memory."""

import json

import numpy as np
import pytest
from PIL import Image

from engine.data.streamed import StreamedImages
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import base_settings
from pipelines.trial import command_line

SETTINGS = (
    "data.image_size=28",
    "model.name=resnet-8",
    "model.width=4",
    "pretrain.epochs=2",
    "pretrain.batch_size=16",
    "pretrain.augmentation=crop-flip",
    "finetune.which=most",
    "finetune.training.epochs=1",
    "distortion.n_images=20",
    "evaluate.severities=1,5",
    "evaluate.corruptions=contrast,gaussian_noise",
    "evaluate.n_probe=10",
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two classes, bright above or below, of pictures of two sizes."""
    draws = np.random.default_rng(0)
    for part, n in (("train", 40), ("val", 12)):
        for label, name in enumerate(("n01", "n02")):
            (tmp_path / "it" / part / name).mkdir(parents=True)
            for number in range(n):
                side = (36, 50)[number % 2]
                pixels = draws.integers(0, 160, (side, side, 3), dtype=np.uint8)
                pixels[slice(None, side // 2) if label else slice(side // 2, None)] += 60
                Image.fromarray(pixels).save(tmp_path / "it" / part / name / f"{number}.png")
    return tmp_path / "it"


def run(folder, home, *arguments, settings=SETTINGS):
    given = ["--dataset", f"imagefolder:{folder}", "--home", str(home), "--threads", "1", *arguments]
    return command_line([*given, "--set", *settings])


@pytest.mark.parametrize("ways", ["paired", "unpaired"])
def test_streamed_images_give_the_numbers_of_resident_ones(ways, folder, tmp_path, monkeypatch, capsys):
    settings = SETTINGS if ways == "paired" else (*SETTINGS, "rank.pairing=unpaired", "finetune.select_by=validation")
    assert run(folder, tmp_path / "streamed", "--errors", str(tmp_path / "streamed.csv"), settings=settings) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "64 training, 16 validation and 24 test images of 3×28×28, 2 classes" in printed
    assert "their shorter side to 32 pixels, and their central 28 pixels are used" in printed
    (data,) = [
        file.parent
        for file in (tmp_path / "streamed" / "store" / "artifacts").rglob("manifest.json")
        if json.loads(file.read_text())["spec"].get("stage") == "data"
    ]
    assert (data / "train-images-00000.safetensors").stat().st_size > 80 * 3 * 28**2
    monkeypatch.setattr(StreamedImages, "to", StreamedImages.resident)
    assert run(folder, tmp_path / "resident", "--errors", str(tmp_path / "resident.csv"), settings=settings) == 0
    streamed = (tmp_path / "streamed.csv").read_text()
    assert streamed == (tmp_path / "resident.csv").read_text()
    assert len(set(streamed.split())) > 3, "errors that are all the same show nothing"


def test_classes_are_named_by_an_option(folder, tmp_path, capsys):
    assert run(folder, tmp_path, "--classes", "n01", "n0") == 2
    assert "train: unknown class 'n0' (did you mean " in capsys.readouterr().err
    chosen = base_settings(SweepOptions(dataset="imagefolder:x", classes=("n01", "n02")))
    assert chosen == {"data.name": "imagefolder:x", "data.classes": ("n01", "n02")}
    assert "data.classes" not in base_settings(SweepOptions())


def test_damaged_images_in_the_store_are_made_again(folder, tmp_path, capsys):
    few = (*(s for s in SETTINGS if not s.startswith("finetune.which")), "finetune.which=none")
    assert run(folder, tmp_path / "runs", "--errors", str(tmp_path / "first.csv"), settings=few) == 0
    (file,) = (tmp_path / "runs" / "store" / "artifacts").rglob("test-images-00000.safetensors")
    content = bytearray(file.read_bytes())
    content[-100:] = bytes(100)
    file.write_bytes(content)
    again = (*few, "seed=1")
    assert run(folder, tmp_path / "runs", "--errors", str(tmp_path / "second.csv"), settings=again) == 0
    (made,) = (tmp_path / "runs" / "store" / "artifacts").rglob("test-images-00000.safetensors")
    assert made.read_bytes() != bytes(content)
