import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from engine.data import load_dataset, open_reader
from engine.errors import InputError
from engine.settings import DataSettings


def test_digits_are_1797_grey_images_of_16_pixels():
    raw = open_reader(DataSettings()).read()
    assert raw.train.images.shape == (1198, 1, 16, 16)
    assert raw.test.images.shape == (599, 1, 16, 16)
    assert raw.train.images.dtype == torch.uint8
    assert raw.train.labels.dtype == raw.train.indices.dtype == torch.int64
    assert raw.class_names == tuple("0123456789")
    assert raw.severity_table == "digits"
    assert sorted(torch.cat([raw.train.indices, raw.test.indices]).tolist()) == list(range(1797))


def test_digits_are_scikit_learn_s_upsampled():
    source = load_digits()
    raw = open_reader(DataSettings(image_size=32)).read()
    for place in (0, 17, 598):
        index = int(raw.test.indices[place])
        small = Image.fromarray((source.images[index] * 255 / 16).astype(np.float32), mode="F")
        expected = np.asarray(small.resize((32, 32), Image.Resampling.BILINEAR)).round()
        difference = np.abs(raw.test.images[place, 0].numpy() - expected)
        assert difference.max() <= 1  # two implementations of one rule may round a half apart
        assert int(raw.test.labels[place]) == source.target[index]


def test_digits_test_images_are_fixed_whatever_the_settings():
    first = load_dataset(DataSettings())
    for other in (
        load_dataset(DataSettings(split_seed=7)),
        load_dataset(DataSettings(validation_fraction=0.5)),
        load_dataset(DataSettings(n_train=20)),
    ):
        assert torch.equal(other.test.indices, first.test.indices)
        assert torch.equal(other.test.images, first.test.images)
    assert first.test.indices[:5].tolist() == [4, 5, 7, 8, 18]


def test_digits_in_colour_repeat_the_channel():
    grey, colour = load_dataset(DataSettings()), load_dataset(DataSettings(channels=3))
    assert colour.channels == 3
    assert torch.equal(colour.train.images, grey.train.images.expand(-1, 3, -1, -1))


def test_digits_fingerprint_depends_on_what_is_read_alone():
    def fingerprint(**settings):
        return open_reader(DataSettings(**settings)).fingerprint()

    assert fingerprint() == fingerprint(image_size=16, channels=1) == fingerprint(split_seed=5, n_train=10)
    assert len({fingerprint(), fingerprint(image_size=8), fingerprint(channels=3)}) == 3


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(InputError, match=r"unknown data set 'digit' \(did you mean 'digits'\?\)"):
        load_dataset(DataSettings(name="digit"))


def test_digits_that_memory_cannot_hold_or_with_an_argument_are_refused():
    with pytest.raises(InputError, match=r"1,797 pictures of 1×1000000×1000000 take 1,797,000\.0 GB"):
        open_reader(DataSettings(image_size=10**6)).read()
    with pytest.raises(InputError, match="takes nothing after it, got 'x'"):
        open_reader(DataSettings(name="digits:x"))
