"""Which pictures are for training and which for testing."""

import os
from pathlib import Path

import pytest
import torch

from engine.data import load_dataset, open_reader
from engine.errors import InputError
from engine.settings import DataSettings
from tests.engine.data.pictures import noise, write

PER_CLASS = {"ape": 20, "bee": 10, "cow": 15}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder of three classes without train/ and test/; the picture at each position has its own pixels."""
    seed = 0
    for name, count in PER_CLASS.items():
        for number in range(count):
            write(tmp_path / name / f"{number:02}.png", noise(8, 8, seed=seed))
            seed += 1
    return tmp_path


def reader(folder: Path, **settings):
    return open_reader(DataSettings(name=f"folder:{folder}", **settings))


def test_a_share_of_each_class_is_set_apart_and_nothing_is_lost_or_doubled(folder):
    raw = reader(folder, test_fraction=0.2).read()
    assert torch.bincount(raw.test.labels).tolist() == [4, 2, 3]
    assert torch.bincount(raw.train.labels).tolist() == [16, 8, 12]
    assert sorted([*raw.train.indices.tolist(), *raw.test.indices.tolist()]) == list(range(45))
    for split in (raw.train, raw.test):
        for image, label, index in zip(split.images, split.labels.tolist(), split.indices.tolist(), strict=True):
            assert torch.equal(image[0], torch.from_numpy(noise(8, 8, seed=index)))
            assert label == (index >= 20) + (index >= 30)
    assert raw.class_names == tuple(PER_CLASS)


def test_the_draw_depends_on_the_split_seed_alone(folder):
    torch.manual_seed(1)
    first = reader(folder, test_fraction=0.2)
    torch.manual_seed(2)
    again, other = reader(folder, test_fraction=0.2), reader(folder, test_fraction=0.2, split_seed=1)
    assert torch.equal(first.read().test.indices, again.read().test.indices)
    assert first.fingerprint() == again.fingerprint()
    assert set(first.read().test.indices.tolist()) != set(other.read().test.indices.tolist())
    assert len({first.fingerprint(), other.fingerprint(), reader(folder, test_fraction=0.4).fingerprint()}) == 3


def test_the_split_is_said(folder):
    (folder / "bee" / "notes.txt").touch()
    assert reader(folder, test_fraction=0.2, split_seed=3).notes == (
        f"{folder} has no train/ and test/: 9 of its 45 pictures, 0.2 of each class, are the test images, drawn by "
        "seed 3 (data.split_seed)",
        f"{folder}: passed over: 1 .txt",
    )


def test_a_split_folder_is_a_data_set(folder):
    data = load_dataset(DataSettings(name=f"folder:{folder}", test_fraction=0.2))
    assert (len(data.train), len(data.validation), len(data.test)) == (29, 7, 9)


def test_an_unsplit_folder_is_refused_with_what_splits_it(folder):
    match = (
        r"has no folder 'train' or 'test'; expected .*/train/CLASS/IMAGE and .*/test/CLASS/IMAGE; "
        r"if its classes are ape/, bee/, cow/: data.test_fraction=0.2 sets a fifth apart as test images"
    )
    with pytest.raises(InputError, match=match):
        reader(folder)


def test_classes_too_small_to_split_are_named(folder):
    with pytest.raises(InputError, match=r"classes too small to set 0.04 of .* apart as test images: bee \(10\)$"):
        reader(folder, test_fraction=0.04)


def own(root: Path, *parts: str, classes: tuple[str, ...] = ("ape", "bee")) -> Path:
    for part in parts:
        for name in classes:
            for number in (0, 1):
                write(root / part / name / f"{number}.png", noise(8, 8))
    return root


def test_a_folder_that_is_split_already_is_not_split_again(tmp_path):
    own(tmp_path, "train", "test")
    with pytest.raises(
        InputError, match=r"has train/ and test/ of its own: `data.test_fraction` must be None, got 0.2"
    ):
        reader(tmp_path, test_fraction=0.2)


def test_parts_are_not_taken_for_classes(tmp_path):
    own(tmp_path, "train", "val")
    with pytest.raises(InputError, match=r"has train/, val/, which are no classes: .*name it \(folder:.*/train\)"):
        reader(tmp_path, test_fraction=0.2)
    match = r"has no folder 'test' \(it has val/\); .*apart from train/: folder:.*/train with data.test_fraction=0.2"
    with pytest.raises(InputError, match=match):
        reader(tmp_path)


def test_what_is_not_used_beside_train_and_test_is_said(tmp_path):
    own(tmp_path, "train", "test", "val")
    for number, path in enumerate(tmp_path.glob("*/*/*.png")):
        write(path, noise(8, 8, seed=number))
    (tmp_path / "test" / "ape" / ".DS_Store").touch()
    assert reader(tmp_path).notes == (
        f"{tmp_path}: passed over: 1 hidden",
        f"{tmp_path}: only train/ and test/ are used, not val/",
    )


def test_classes_that_differ_are_told_apart(tmp_path):
    own(tmp_path, "train", classes=("ape", "bee", "cow", "dog"))
    own(tmp_path, "test", classes=("ape", "bee", "emu"))
    with pytest.raises(InputError, match="the same classes; only in train/: cow, dog; only in test/: emu"):
        reader(tmp_path)


def test_a_single_class_is_refused(tmp_path):
    own(tmp_path, "train", "test", classes=("cat",))
    with pytest.raises(InputError, match="at least 2 classes are needed, got cat"):
        reader(tmp_path)
    with pytest.raises(InputError, match="at least 2 classes are needed, got cat"):
        reader(tmp_path / "train", test_fraction=0.5)


def test_only_folders_are_split():
    for name in ("digits", "digits:x"):
        with pytest.raises(
            InputError, match=r"`data.test_fraction` means nothing to the data set 'digits': it must be None"
        ):
            open_reader(DataSettings(name=name, test_fraction=0.2))
    with pytest.raises(InputError, match=r"`data.value_range` means nothing to the data set 'digits'"):
        open_reader(DataSettings(value_range=(0.0, 1.0)))
    with pytest.raises(InputError, match=r"`data.classes` means nothing to the data set 'digits'"):
        open_reader(DataSettings(classes=("0", "1")))


def test_a_class_whose_name_is_no_text_is_a_class(tmp_path):
    own(tmp_path, "train", "test", classes=("ape", os.fsdecode(b"h\xfchner")))
    for number, path in enumerate(tmp_path.glob("*/*/*.png")):
        write(path, noise(8, 8, seed=number))
    assert reader(tmp_path).read().class_names == ("ape", "h�hner")
