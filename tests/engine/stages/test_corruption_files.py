"""Evaluation on corrupted test images that lie in files."""

from pathlib import Path

import numpy as np
import pytest

from engine.corruptions import corrupt
from engine.data import write_corruption_files
from engine.errors import InputError
from engine.stages import info_from_json, info_to_json
from engine.stages.probe import TEST, corruption_seed
from tests.engine.stages.conftest import Workshop

NAMES = ("gaussian_noise", "contrast")


def write_files(workshop: Workshop, folder: Path) -> Path:
    """Write the corrupted images that evaluation would make itself."""
    workshop.plan()
    seed, table = corruption_seed(TEST), workshop.info.severity_table

    def corrupted(images, name, severity, indices):
        return corrupt(images, name, severity, seed=seed, indices=indices, table=table)

    for _ in write_corruption_files(folder, workshop.data.test, NAMES, corrupted, about={}):
        pass
    return folder


def errors(workshop: Workshop, **settings) -> dict:
    return workshop.run(workshop.plan(**settings))[-1].artifact.json("errors")


def test_files_take_the_place_of_the_images_that_are_made(workshop: Workshop, tmp_path: Path) -> None:
    folder = write_files(workshop, tmp_path / "c")
    made, read = errors(workshop), errors(workshop, data__corruption_files=str(folder))
    assert read == made
    names = [row["corruption"] for row in read["test"]["corrupted"]]
    assert set(names) == set(NAMES)
    contrast = np.load(folder / "contrast.npy")
    np.save(folder / "contrast.npy", 255 - contrast)
    negative = errors(workshop, data__corruption_files=str(folder))
    assert negative["validation"] == made["validation"]
    assert negative["test"]["corrupted"] != made["test"]["corrupted"]


def test_the_key_follows_the_pixels_and_not_the_place(workshop: Workshop, tmp_path: Path) -> None:
    folder = write_files(workshop, tmp_path / "c")
    made, read = workshop.plan(), workshop.plan(data__corruption_files=str(folder))
    assert made.key("evaluate") != read.key("evaluate")
    assert made.key("pretrain") == read.key("pretrain")
    folder.rename(tmp_path / "moved")
    assert workshop.plan(data__corruption_files=str(tmp_path / "moved")).key("evaluate") == read.key("evaluate")
    assert info_from_json(info_to_json(workshop.info)) == workshop.info
    array = np.load(tmp_path / "moved" / "contrast.npy")
    array[0] ^= 1
    np.save(tmp_path / "moved" / "contrast.npy", array)
    assert workshop.plan(data__corruption_files=str(tmp_path / "moved")).key("evaluate") != read.key("evaluate")


def test_a_folder_that_lacks_a_corruption_is_refused_by_the_plan(workshop: Workshop, tmp_path: Path) -> None:
    folder = write_files(workshop, tmp_path / "c")
    (folder / "contrast.npy").unlink()
    with pytest.raises(InputError, match=r"lacks contrast.npy$"):
        workshop.plan(data__corruption_files=str(folder))
    only = {"evaluate__corruptions": ["gaussian_noise"], "data__corruption_files": str(folder)}
    assert workshop.plan(**only).key("evaluate")
    with pytest.raises(InputError, match="folder of corrupted images does not exist"):
        workshop.plan(data__corruption_files=str(tmp_path / "nowhere"))
