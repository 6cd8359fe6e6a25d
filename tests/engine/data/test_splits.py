from dataclasses import replace

import pytest
import torch

from engine.data import DataSet, RawData, Split, open_reader, split_data, split_key
from engine.data.checks import notes_on_values
from engine.data.dataset import split_sizes
from engine.errors import InputError
from engine.settings import DataSettings

PER_CLASS = (50, 30, 20)


def make_raw() -> RawData:
    """Return 100 training images in three classes of unequal size, and 40 test images."""
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(PER_CLASS))

    def split(labels: torch.Tensor) -> Split:
        n = len(labels)
        images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 4, 4).contiguous()
        return Split(images, labels, torch.arange(n))

    return RawData(split(labels), split(torch.arange(40) % 3), ("a", "b", "c"))


def indices(data: DataSet, part: str) -> set[int]:
    return set(getattr(data, part).indices.tolist())


def test_splits_do_not_overlap_and_lose_nothing():
    data = split_data(make_raw(), DataSettings(validation_fraction=0.3))
    assert indices(data, "train") | indices(data, "validation") == set(range(100))
    assert not indices(data, "train") & indices(data, "validation")
    assert indices(data, "test") == set(range(40))
    assert data.n_classes == 3
    assert (data.channels, data.image_size) == (1, 4)


def test_splits_have_each_class_in_its_proportion():
    data = split_data(make_raw(), DataSettings(validation_fraction=0.3))
    assert torch.bincount(data.validation.labels).tolist() == [15, 9, 6]
    assert torch.bincount(data.train.labels).tolist() == [35, 21, 14]


def test_splits_keep_images_labels_and_indices_together():
    raw = make_raw()
    data = split_data(raw, DataSettings(n_train=37, n_validation=11, n_test=9))
    for part, source in ((data.train, raw.train), (data.validation, raw.train), (data.test, raw.test)):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.indices)
        assert torch.equal(part.labels, source.labels[part.indices])
        assert part.indices.tolist() == sorted(part.indices.tolist())
    assert (len(data.train), len(data.validation), len(data.test)) == (37, 11, 9)


def test_balanced_limits_take_as_many_of_each_class_as_there_are():
    raw = replace(make_raw(), are_limits_balanced=True)
    settings = DataSettings(n_train=51, n_validation=6, n_test=7)
    data = split_data(raw, settings)
    assert torch.bincount(data.train.labels).tolist() == [18, 17, 16]  # of the last there are no more
    assert torch.bincount(data.validation.labels).tolist() == [2, 2, 2]
    assert sorted(torch.bincount(data.test.labels).tolist()) == [2, 2, 3]
    for part in ("train", "validation", "test"):
        smaller = split_data(raw, replace(settings, n_train=20, n_validation=4, n_test=5))
        assert indices(smaller, part) < indices(data, part)
        assert indices(data, part) <= indices(split_data(make_raw(), DataSettings()), part)


def test_keys_tell_balanced_limits_from_others_where_they_take_other_images():
    def keys(balanced, **limits):
        settings = DataSettings(**limits)
        data = split_data(replace(make_raw(), are_limits_balanced=balanced), settings)
        return [split_key("raw", data, settings, with_test=with_test) for with_test in (True, False)]

    assert keys(True) == keys(False) == keys(True, n_train=1000)
    assert not set(keys(True, n_train=20)) & set(keys(False, n_train=20))
    with_test, without = zip(keys(True, n_test=20), keys(False, n_test=20), strict=True)
    assert with_test[0] != with_test[1]
    assert without[0] == without[1]


def test_limits_are_nested_and_mix_the_classes():
    whole = split_data(make_raw(), DataSettings())
    for part, limit in (("train", "n_train"), ("validation", "n_validation"), ("test", "n_test")):
        small, large = (split_data(make_raw(), DataSettings(**{limit: n})) for n in (9, 15))
        assert len(getattr(small, part)) == 9
        assert indices(small, part) < indices(large, part) < indices(whole, part)
        assert len(getattr(small, part).labels.unique()) == 3


def test_a_limit_above_what_there_is_takes_all():
    data = split_data(make_raw(), DataSettings(n_train=1000, n_validation=1000, n_test=1000))
    whole = split_data(make_raw(), DataSettings())
    assert all(indices(data, part) == indices(whole, part) for part in ("train", "validation", "test"))


def test_splits_depend_on_their_seed_alone():
    torch.manual_seed(1)
    first = split_data(make_raw(), DataSettings(n_test=9))
    torch.manual_seed(2)
    again, other = split_data(make_raw(), DataSettings(n_test=9)), split_data(make_raw(), DataSettings(split_seed=1))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part).indices, getattr(again, part).indices)
    assert indices(first, "validation") != indices(other, "validation")


def test_a_class_too_small_to_split_is_refused():
    match = r"too few training images to set 0.01 of them apart for validation .*: 'a' \(50\), 'b' \(30\), 'c' \(20\)$"
    with pytest.raises(InputError, match=match):
        split_data(make_raw(), DataSettings(validation_fraction=0.01))


def test_raw_data_needs_two_classes():
    raw = make_raw()
    with pytest.raises(InputError, match="at least 2 classes, got 1"):
        RawData(raw.train, raw.test, ("a",))


def test_raw_data_of_one_value_is_refused_in_either_part():
    raw = make_raw()
    for name, part in (("train", "training"), ("test", "test")):
        split = getattr(raw, name)
        flat = Split(torch.full_like(split.images, 3), split.labels, split.indices)
        with pytest.raises(InputError, match=f"all {len(flat)} {part} images are the same, the value 3 everywhere"):
            replace(raw, **{name: flat})


def test_raw_data_of_one_image_over_and_over_is_refused_wherever_another_value_may_hide():
    raw = make_raw()
    images = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat(len(raw.train), 1, 1, 1)
    with pytest.raises(InputError, match="all 100 training images are the same: there is nothing"):
        replace(raw, train=Split(images, raw.train.labels, raw.train.indices))
    for place in (0, 1, 2, 50, 99):
        another = images.clone()
        another[place, 0, 3, 3] = 99
        replace(raw, train=Split(another, raw.train.labels, raw.train.indices))


def test_raw_data_labelled_with_one_class_is_refused():
    raw = make_raw()
    labels = torch.full_like(raw.test.labels, 2)
    with pytest.raises(InputError, match="the labels of all 40 test images are one class: 2"):
        replace(raw, test=Split(raw.test.images, labels, raw.test.indices))


def test_notes_tell_of_flat_images_and_a_narrow_range():
    images = torch.arange(64, dtype=torch.uint8).reshape(4, 1, 4, 4)
    assert notes_on_values(images, images[:2]) == ()
    images[1] = 5
    assert notes_on_values(images[2:], images) == ("1 of 6 images are flat: one value everywhere",)
    assert notes_on_values(images[:2], images[:1]) == (
        "1 of 3 images are flat: one value everywhere",
        "the images use the values 0 to 15 of 0 to 255 alone",
    )


def key_of(raw_key: str = "raw", *, with_test: bool = True, **settings: object) -> str:
    found = DataSettings(**settings)
    return split_key(raw_key, split_data(make_raw(), found), found, with_test=with_test)


def test_split_key_changes_with_the_images_and_every_way_of_splitting():
    keys = [key_of(), key_of("other")]
    for name, value in (
        ("n_train", 50),
        ("n_validation", 10),
        ("n_test", 30),
        ("validation_fraction", 0.25),
        ("split_seed", 1),
    ):
        keys.append(key_of(**{name: value}))
    assert len(set(keys)) == 7
    assert key_of(name="folder:x", image_size=8, channels=3) == keys[0]


def test_split_key_takes_a_limit_beyond_the_images_for_none():
    assert key_of(n_train=80, n_validation=20, n_test=40) == key_of(n_train=5000, n_test=41) == key_of()
    assert key_of(n_train=79) != key_of()


def test_split_key_for_training_does_not_depend_on_the_number_of_test_images():
    assert key_of(n_test=10, with_test=False) == key_of(with_test=False)
    assert key_of(n_test=10) != key_of() != key_of(with_test=False)
    assert key_of(n_train=50, with_test=False) != key_of(with_test=False)


@pytest.mark.parametrize("limits", [{}, {"n_train": 50, "n_validation": 9, "n_test": 7}, {"n_train": 5000}])
def test_sizes_are_known_from_the_labels_alone(limits):
    settings = DataSettings(validation_fraction=0.3, **limits)
    raw = open_reader(settings).read()
    data = split_data(raw, settings)
    sizes = split_sizes(raw.train.labels, raw.class_names, len(raw.test), settings)
    assert sizes == (len(data.train), len(data.validation), len(data.test))
