"""The scale of pictures of more than 8 bits: one for the whole folder, whichever file comes first."""

from pathlib import Path

import numpy as np
import pytest

from engine.data import open_reader
from engine.data.wide import Extent, choose_scales
from engine.errors import InputError
from engine.settings import DataSettings
from tests.engine.data.pictures import png, write

DRAWS = np.random.default_rng(0)


def fill(root: Path, draw, suffix: str) -> Path:
    for part, count in (("train", 3), ("test", 2)):
        for name in "ab":
            for number in range(count):
                write(root / part / name / f"{number}{suffix}", draw())
    return root


def read(root: Path, **settings):
    raw = open_reader(DataSettings(name=f"folder:{root}", **settings)).read()
    return raw.train.images[0, 0].numpy(), raw.notes


def first(root: Path, suffix: str) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(root / "train" / "a" / f"0{suffix}"))


@pytest.mark.parametrize(
    ("most", "bits"), [(255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (16000, 14), (65535, 16)]
)
@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint16), (".tif", np.int32)])
def test_whole_numbers_keep_the_upper_8_of_the_bits_that_the_folder_uses(tmp_path, most, bits, suffix, dtype):
    fill(tmp_path, lambda: DRAWS.integers(0, most // 2, (8, 8)).astype(dtype), suffix)
    brightest = DRAWS.integers(0, most // 2, (8, 8)).astype(dtype)
    brightest[3, 4] = most
    write(tmp_path / "test" / "b" / f"9{suffix}", brightest)
    pixels, notes = read(tmp_path)
    np.testing.assert_array_equal(pixels, first(tmp_path, suffix) >> (bits - 8))
    (note,) = notes
    assert note.startswith("11 pictures have more than 8 bits: whole numbers from ")
    assert note.endswith(f" to {most}, taken as numbers of {bits} bits")


def test_floats_in_0_1_and_in_0_255(tmp_path):
    fill(tmp_path / "unit", lambda: DRAWS.random((8, 8), np.float32), ".tif")
    pixels, notes = read(tmp_path / "unit")
    np.testing.assert_array_equal(pixels, np.rint(255 * first(tmp_path / "unit", ".tif").astype(float)))
    assert notes[0].endswith("taken as 0…1")
    fill(tmp_path / "bytes", lambda: 255 * DRAWS.random((8, 8), np.float32), ".tif")
    pixels, notes = read(tmp_path / "bytes")
    np.testing.assert_array_equal(pixels, np.rint(first(tmp_path / "bytes", ".tif")))
    assert notes[0].endswith("taken as 0…255")


@pytest.mark.parametrize(
    ("suffix", "dtype", "odd", "said"),
    [
        (
            ".tif",
            np.float32,
            1.5,
            r"9.tif has floats from .* to 1.5, the greatest of the folder: neither 0…1 nor 0…255",
        ),
        (".tif", np.float32, -0.25, r"9.tif has values from -0.25 to .*: floats must be from 0 to 1, or from 0 to 255"),
        (".tif", np.float32, 4095.0, r"9.tif has values from .* to 4095: floats must be"),
        (".tif", np.int32, -3, r"9.tif has values from -3 to .*: whole numbers must be from 0 to 65535"),
        (".tif", np.int32, 65536, r"9.tif has values from .* to 65536: whole numbers must be from 0 to 65535"),
    ],
)
def test_values_without_a_meaning_are_refused_by_name_and_taken_as_asked(tmp_path, suffix, dtype, odd, said):
    fill(tmp_path, lambda: DRAWS.integers(0, 2, (8, 8)).astype(dtype), suffix)
    picture = DRAWS.integers(0, 2, (8, 8)).astype(dtype)
    picture[5, 5] = odd
    write(tmp_path / "train" / "b" / f"9{suffix}", picture)
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path)
    assert "data.value_range=[BLACK,WHITE]" in str(caught.value)
    pixels, notes = read(tmp_path, value_range=(0.0, 2.0))
    np.testing.assert_array_equal(pixels, np.array([0, 128])[first(tmp_path, suffix).astype(int)])
    clipped = "" if 0 <= odd <= 2 else "; what is beyond in 1 of them is clipped"
    assert notes == (f"11 pictures have more than 8 bits: 0 is black and 2 white{clipped}",)


def test_a_range_that_is_asked_for_spreads_evenly_and_clips(tmp_path):
    fill(tmp_path, lambda: (np.linspace(-1000, 2000, 64).reshape(8, 8) + DRAWS.integers(0, 3)).astype(np.int32), ".tif")
    pixels, _ = read(tmp_path, value_range=(-500.0, 520.0))
    expected = np.rint((first(tmp_path, ".tif") + 500) / 4).clip(0, 255)
    np.testing.assert_array_equal(pixels, expected)


def test_a_range_where_nothing_has_more_than_8_bits_is_refused(tmp_path):
    fill(tmp_path, lambda: DRAWS.integers(0, 256, (8, 8), dtype=np.uint8), ".png")
    with pytest.raises(
        InputError, match=r"`data.value_range` is for pictures of more than 8 bits, of which .* has none"
    ):
        read(tmp_path, value_range=(0.0, 1.0))


def test_the_range_is_in_the_fingerprint(tmp_path):
    fill(tmp_path, lambda: DRAWS.random((8, 8), np.float32), ".tif")
    settings = [{}, {"value_range": (0.0, 1.0)}, {"value_range": (0.0, 2.0)}]
    assert len({open_reader(DataSettings(name=f"folder:{tmp_path}", **one)).fingerprint() for one in settings}) == 3


def test_transparent_values_do_not_count(tmp_path):
    values = np.full((8, 8), 65535)
    values[2:] = DRAWS.integers(0, 200, (6, 8))

    fill(tmp_path, lambda: DRAWS.integers(0, 200, (8, 8)).astype(np.uint16), ".png")
    content = png(8, 16, 0, [row.astype(">u2").tobytes() for row in values], transparent=b"\xff\xff")
    (tmp_path / "train" / "a" / "0.png").write_bytes(content)
    pixels, (note,) = read(tmp_path)
    assert note.endswith("taken as numbers of 8 bits")
    np.testing.assert_array_equal(pixels, np.where(values == 65535, 0, values))


def test_a_set_whose_pictures_all_become_one_value_is_refused(tmp_path):
    fill(tmp_path, lambda: DRAWS.integers(0, 100, (8, 8)).astype(np.uint16), ".png")
    with pytest.raises(InputError, match="all 6 training images are the same, the value 0 everywhere"):
        read(tmp_path, value_range=(200.0, 300.0))


def test_the_scale_does_not_depend_on_the_order():
    extents = {Path(str(place)): Extent(0, high, False) for place, high in enumerate((200, 4000, 300))}
    assert choose_scales(extents, None) == choose_scales(dict(reversed(extents.items())), None)
