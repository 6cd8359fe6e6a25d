import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import load_dataset, open_reader, survey
from engine.errors import InputError
from engine.settings import DataSettings
from tests.engine.data import pictures
from tests.engine.data.pictures import write

SEEDS = itertools.count()


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    return pictures.noise(height, width, *channels, seed=next(SEEDS))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder of two classes with 8×8 colour images: five each to train, two each to test."""
    for part, count in (("train", 5), ("test", 2)):
        for name in ("cat", "dog"):
            for number in range(count):
                write(tmp_path / part / name / f"{number}.png", noise(8, 8, 3))
    return tmp_path


def reader(folder: Path, **settings):
    return open_reader(DataSettings(name=f"folder:{folder}", **settings))


def decoded(folder: Path, image: Image.Image | np.ndarray, suffix: str = ".png", **settings) -> torch.Tensor:
    """Return a training image of class "cat", put first, as the folder's reader decodes it."""
    write(folder / "train" / "cat" / f"!first{suffix}", image)
    return reader(folder, **settings).read().train.images[0]


def test_folder_reads_images_labels_and_classes_in_the_order_of_names(folder):
    raw = reader(folder).read()
    assert raw.class_names == ("cat", "dog")
    assert raw.train.images.shape == (10, 3, 8, 8)
    assert raw.train.labels.tolist() == [0] * 5 + [1] * 5
    assert raw.test.labels.tolist() == [0, 0, 1, 1]
    assert raw.train.indices.tolist() == list(range(10))
    assert raw.severity_table == "cifar-c"
    for position, path in enumerate(sorted((folder / "train").glob("*/*.png"))):
        assert np.array_equal(raw.train.images[position].permute(1, 2, 0).numpy(), np.asarray(Image.open(path)))


def test_folder_is_a_data_set_by_name(folder):
    data = load_dataset(DataSettings(name=f"folder:{folder}"))
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 4)
    assert (data.channels, data.image_size, data.n_classes) == (3, 8, 2)


def test_folder_size_is_that_of_most_pictures_and_others_are_cropped_and_resized(folder):
    wide = noise(12, 20, 3)
    image = decoded(folder, wide)  # the first file, which decides nothing
    assert image.shape == (3, 8, 8)
    square = Image.fromarray(wide[:, 4:16])
    expected = np.asarray(square.resize((8, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
    assert reader(folder).notes == (
        "1 of 15 pictures are resized to 8 pixels (data.image_size); their shorter sides are from 8 to 12",
        "1 of 15 pictures are not square: their central square is used",
    )


def test_folder_of_many_sizes_is_refused_with_the_sizes_and_the_setting(folder):
    for number, size in enumerate((20, 21, 22, 23, 24, 25, 26)):
        write(folder / "test" / "dog" / f"large{number}.png", noise(size, 2 * size, 3))
    assert reader(folder).read().train.images.shape[-1] == 8  # 14 of 21
    for number, size in enumerate((12, 12, 12, 30, 31, 32, 33)):
        write(folder / "train" / "cat" / f"!large{number}.png", noise(2 * size, size, 3))
    match = (
        r"the pictures have many sizes, shorter sides from 8 to 33 pixels, most often 8 \(14 of 28\), 12 \(3 of 28\), "
        r"20 \(1 of 28\); say which to bring all to by data.image_size=SIDE"
    )
    with pytest.raises(InputError, match=match):
        reader(folder).fingerprint()
    assert reader(folder, image_size=10).read().train.images.shape[-1] == 10


def test_folder_of_too_small_pictures_is_refused(folder):
    for path in folder.glob("*/*/*.png"):
        write(path, noise(3, 3, 3))
    with pytest.raises(InputError, match=r"the pictures are 3 pixels wide or high, at least 4 are needed; say which"):
        reader(folder).read()


def test_folder_that_memory_cannot_hold_is_refused(folder):
    with pytest.raises(
        InputError, match=r"14 pictures of 3×1000000×1000000 take 42,000\.0 GB, this machine has .* GB of"
    ):
        reader(folder, image_size=10**6).read()


def test_folder_has_colour_if_any_picture_has_whichever_comes_first(folder):
    grey = noise(8, 8)
    assert np.array_equal(decoded(folder, grey).numpy(), np.stack([grey] * 3))
    assert reader(folder).notes == ("1 of 15 pictures are grey and become r = g = b (data.channels=3)",)
    assert reader(folder, channels=1).notes == ("14 of 15 pictures are coloured and become luma (data.channels=1)",)
    for path in sorted(folder.glob("*/*/*.png"))[:-1]:
        write(path, noise(8, 8))
    assert reader(folder).read().train.images.shape[1] == 3  # of the test pictures one still has
    write(sorted(folder.glob("*/*/*.png"))[-1], noise(8, 8))
    assert reader(folder).read().train.images.shape[1] == 1
    assert reader(folder).notes == ()


def test_folder_shrinking_averages_what_is_merged(folder):
    blocks = np.kron(np.array([[0, 200], [100, 40]], dtype=np.uint8), np.ones((16, 16), dtype=np.uint8))
    image = decoded(folder, np.stack([blocks] * 3, axis=2), image_size=8)
    assert image[0, 0, 0] == 0
    assert image[0, 0, 7] == 200
    assert image[0, 7, 0] == 100
    assert image[0, 3, 3] > 0  # antialiased: the pixel beside the edges sees beyond them
    checkers = np.indices((16, 16)).sum(0) % 2 * 255
    assert set(decoded(folder, checkers.astype(np.uint8), image_size=4)[0, 1:3, 1:3].flatten().tolist()) <= {127, 128}


def test_folder_image_size_and_channels_may_be_given(folder):
    raw = reader(folder, image_size=16, channels=1).read()
    assert raw.train.images.shape == (10, 1, 16, 16)


def test_folder_grey_images_make_one_channel_or_three_equal_ones(folder):
    grey = noise(8, 8)
    assert np.array_equal(decoded(folder, grey, channels=1)[0].numpy(), grey)
    colour = decoded(folder, grey, channels=3)
    assert all(np.array_equal(channel.numpy(), grey) for channel in colour)


def test_folder_colour_becomes_luma(folder):
    image = noise(8, 8, 3)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decoded(folder, image, channels=1)[0].numpy() - luma).max() < 1


def test_folder_refuses_a_missing_path(tmp_path):
    with pytest.raises(InputError, match=r"data folder does not exist: .*nowhere"):
        reader(tmp_path / "nowhere")
    with pytest.raises(InputError, match="needs a path: folder:PATH"):
        open_reader(DataSettings(name="folder"))


def test_folder_names_all_that_cannot_be_used_at_once_however_they_are_damaged(folder):
    good = (folder / "train" / "dog" / "3.png").read_bytes()
    (folder / "train" / "dog" / "3.png").write_bytes(good[:60])  # a whole header, half a picture
    (folder / "train" / "cat" / "0.png").write_bytes(b"no picture at all")
    (folder / "test" / "cat" / "0.png").write_bytes(b"")
    (folder / "test" / "dog" / "dead.png").symlink_to("nowhere.png")
    pixels = np.full((8, 8), 0.5, np.float32)
    pixels[1, 2:5] = np.nan, np.inf, -np.inf
    write(folder / "train" / "cat" / "odd.tif", pixels)
    with pytest.raises(InputError) as caught:
        reader(folder).fingerprint()
    said = str(caught.value).replace(str(folder), "")
    for word in (
        "5 of 16 pictures cannot be used: ",
        "/train/cat/0.png (no picture of a format that is read)",
        "/train/dog/3.png (",
        "/test/cat/0.png (it is empty)",
        "/test/dog/dead.png (a link to a file that does not exist)",
        "/train/cat/odd.tif (3 of 64 pixels are not finite)",
    ):
        assert word in said
    assert "more" not in said


def test_folder_names_every_bad_picture_that_one_could_mend(folder, monkeypatch):
    for path in sorted((folder / "train").glob("*/*.png")) + sorted((folder / "test").glob("*/*.png"))[:2]:
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="12 of 14 pictures cannot be used: ") as caught:
        reader(folder).read()
    assert str(caught.value).count(".png") == 12
    monkeypatch.setattr(survey, "LISTED", 10)
    with pytest.raises(InputError, match=r"12 of 14 pictures cannot be used: .*, and 2 more$") as caught:
        reader(folder).read()
    assert str(caught.value).count(".png") == 10


def test_folder_whose_files_cannot_be_read_is_refused(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    made = reader(folder)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"14 of 14 pictures cannot be used: .*0.png \(Permission denied\), "):
        made.read()


def test_folder_that_changes_while_it_is_read_is_refused(folder):
    made = reader(folder)
    made.fingerprint()
    write(folder / "train" / "dog" / "3.png", noise(8, 8, 3))
    with pytest.raises(InputError, match=r"1 of 14 .*dog/3.png \(it changed while the folder was read\)"):
        made.read()


def test_folder_of_one_value_is_refused(folder):
    for path in (folder / "train").glob("*/*.png"):
        write(path, np.full((8, 8, 3), 7, np.uint8))
    with pytest.raises(InputError, match="all 10 training images are the same, the value 7 everywhere"):
        reader(folder).read()


def test_folder_says_which_test_pictures_are_training_pictures_too(folder):
    shutil.copy(folder / "train" / "dog" / "3.png", folder / "test" / "cat" / "same.png")
    assert reader(folder).notes == ("1 of 5 test pictures are, byte for byte, training pictures too",)


def test_folder_decodes_large_files_in_parallel_to_the_same(folder, monkeypatch):
    for path in folder.glob("*/*/*.png"):
        write(path, noise(40, 30, 3))
    one_by_one = reader(folder).read()
    monkeypatch.setattr("engine.data.folder._PIXELS_OF_A_LARGE_PICTURE", 0)
    monkeypatch.setattr("engine.data.folder.n_threads", lambda: 3)
    monkeypatch.setattr("engine.data.parallel.AT_ONCE", 2)
    parallel = reader(folder).read()
    assert torch.equal(parallel.train.images, one_by_one.train.images)
    assert torch.equal(parallel.test.images, one_by_one.test.images)
    assert len(parallel.train.images.flatten(1).unique(dim=0)) == 10


def test_folder_fingerprint_changes_with_a_byte_a_name_and_the_decoding(folder):
    first = reader(folder).fingerprint()
    assert reader(folder).fingerprint() == first
    assert reader(folder, image_size=8, channels=3).fingerprint() == first
    path = folder / "test" / "dog" / "1.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    second = reader(folder).fingerprint()
    path.rename(path.with_name("9.png"))
    third = reader(folder).fingerprint()
    assert len({first, second, third, reader(folder, image_size=4).fingerprint()}) == 4


def test_folder_fingerprint_does_not_depend_on_where_the_folder_lies(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "data"
    first = reader(folder).fingerprint()
    folder.rename(moved)
    assert reader(moved).fingerprint() == first
