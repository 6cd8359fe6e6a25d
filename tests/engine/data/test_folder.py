from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import load_dataset, open_reader
from engine.errors import InputError
from engine.settings import DataSettings

RANDOM = np.random.default_rng(0)


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, *channels), dtype=np.uint8)


def write(path: Path, image: Image.Image | np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
    return path


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


def test_folder_size_is_the_first_image_s_shorter_side_and_others_are_cropped_and_resized(folder):
    wide = noise(12, 20, 3)
    images = decoded(folder, wide)
    assert images.shape == (3, 12, 12)
    assert np.array_equal(images.permute(1, 2, 0).numpy(), wide[:, 4:16])
    second = reader(folder).read().train.images[1].permute(1, 2, 0).numpy()
    source = Image.open(folder / "train" / "cat" / "0.png")
    assert np.array_equal(second, np.asarray(source.resize((12, 12), Image.Resampling.BILINEAR)))


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
    assert np.array_equal(decoded(folder, grey)[0].numpy(), grey)
    assert reader(folder).read().train.images.shape[1] == 1
    colour = decoded(folder, grey, channels=3)
    assert all(np.array_equal(channel.numpy(), grey) for channel in colour)


def test_folder_colour_becomes_luma(folder):
    image = noise(8, 8, 3)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decoded(folder, image, channels=1)[0].numpy() - luma).max() < 1


def test_folder_lays_transparency_over_black(folder):
    image = noise(8, 8, 4)
    expected = image[..., :3] * (image[..., 3:] / 255)
    assert np.abs(decoded(folder, image).permute(1, 2, 0).numpy() - expected).max() <= 1
    grey = noise(8, 8, 2)
    expected = grey[..., 0] * (grey[..., 1] / 255)
    assert np.abs(decoded(folder, Image.fromarray(grey, mode="LA"))[0].numpy() - expected).max() <= 1


@pytest.mark.parametrize("brightest", [65535, 4000, 200])
def test_folder_16_bit_images_keep_their_upper_8_bits_however_dark(folder, brightest):
    values = np.linspace(0, brightest, 64).astype(np.uint16).reshape(8, 8)
    image = decoded(folder, values)
    assert image.shape[0] == 1
    assert np.array_equal(image[0].numpy(), (values >> 8).astype(np.uint8))


def test_folder_16_bit_images_of_either_byte_order(folder):
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    big = Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes())
    assert np.array_equal(decoded(folder, big, ".tif")[0].numpy(), (values >> 8).astype(np.uint8))


def test_folder_palettes_become_colours(folder):
    palette = Image.fromarray(noise(8, 8)).convert("P")
    palette.putpalette(noise(256, 3).flatten().tolist())
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(decoded(folder, palette, ".gif").permute(1, 2, 0).numpy(), expected)


def test_folder_reads_black_and_white(folder):
    image = Image.fromarray(noise(8, 8)).convert("1")
    assert np.array_equal(decoded(folder, image)[0].numpy(), np.asarray(image).astype(np.uint8) * 255)


def test_folder_ignores_other_files_and_hidden_folders(folder):
    (folder / "train" / "cat" / "notes.txt").write_text("not an image")
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "README.md").write_text("no class")
    assert len(reader(folder).read().train) == 10


def test_folder_refuses_a_missing_path(tmp_path):
    with pytest.raises(InputError, match=r"data folder does not exist: .*nowhere"):
        reader(tmp_path / "nowhere")
    with pytest.raises(InputError, match="needs a path: folder:PATH"):
        open_reader(DataSettings(name="folder"))


def test_folder_refuses_a_folder_without_train_or_test(folder):
    (folder / "test").rename(folder / "tests")
    with pytest.raises(InputError, match=r"has no folder 'test'; expected .*/train/CLASS/IMAGE and"):
        reader(folder)


def test_folder_refuses_no_classes(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=r"folder has no classes \(one folder each\): .*train"):
        reader(tmp_path)


def test_folder_refuses_a_class_without_images(folder):
    (folder / "train" / "emu").mkdir()
    with pytest.raises(InputError, match=r"class folder has no images: .*train/emu"):
        reader(folder)


def test_folder_refuses_classes_that_differ(folder):
    write(folder / "train" / "emu" / "0.png", noise(8, 8, 3))
    with pytest.raises(InputError, match="the same classes, not in both: emu"):
        reader(folder)


def test_folder_refuses_a_single_class(tmp_path):
    for part in ("train", "test"):
        write(tmp_path / part / "cat" / "0.png", noise(8, 8, 3))
    with pytest.raises(InputError, match="at least 2 classes are needed, got cat"):
        reader(tmp_path)


def test_folder_names_an_image_that_cannot_be_read(folder):
    path = folder / "train" / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:60])  # a whole header, half a picture
    with pytest.raises(InputError, match=r"image cannot be read: .*train/dog/3.png \("):
        reader(folder).read()
    path.write_bytes(b"no picture at all")
    with pytest.raises(InputError, match=r"image cannot be read: .*train/dog/3.png \("):
        reader(folder).read()


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
